#include "tests/sim/chaos.h"

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/sim/audit.h"
#include "tests/sim/misfortune.h"

namespace fleet {
namespace {

const absl::Duration kConnect = absl::Seconds(2);
const absl::Duration kSettle = absl::Seconds(25);  // the longest pause before a command is asked for, twice, and some
constexpr size_t kMaxComplaints = 20;

// What kind of world it is.
WorldOptions DrawWorld(uint64_t seed) {
  std::mt19937_64 random(seed * 2 + 1);
  const auto draw = [&](uint64_t below) { return random() % below; };
  WorldOptions world{.devices = static_cast<uint32_t>(1 + draw(3)),
                     .entities = static_cast<uint32_t>(1 + draw(2)),
                     .seed = seed,
                     .state_rate_hz = static_cast<double>(draw(3)),
                     .store_delay = absl::Milliseconds(1 + draw(150))};
  if (draw(3) > 0) {
    world.faults = {.loss = static_cast<double>(draw(2)) * 0.05,
                    .duplicate = static_cast<double>(draw(2)) * 0.1,
                    .delay_max = absl::Milliseconds(draw(200))};
  }
  if (draw(8) > 0) {
    world.disk = SimDisk::Options{.delay = absl::Milliseconds(1 + draw(300))};
    if (draw(4) == 0) world.disk->bounds.keep_bytes = 500 + draw(4000);
    if (draw(8) == 0) world.disk->bounds.keep = absl::Minutes(30);
  }
  using Policy = device::FailSafePolicy;
  static constexpr Policy kPolicies[] = {Policy::kStop, Policy::kFinishSegment, Policy::kContinue};
  if (draw(2) == 0) world.fail_safe.entities[EntityId{1}] = kPolicies[draw(3)];
  return world;
}

std::string TextOf(const server::SavedCommand& command) {
  std::string text = absl::StrCat("command ", Number(command.row.id), " of device row ", command.row.device_row, ":");
  for (const server::CommandStepRow& step : command.steps) {
    absl::StrAppend(&text, " ", server::Name(step.state), step.reason.empty() ? "" : "/", step.reason, " +",
                    step.since_issue_ms, " ms");
  }
  return text;
}

class Chaos {
 public:
  Chaos(const ChaosOptions& options, ChaosOutcome& outcome);
  void Run();

 private:
  void Say(const std::string& what) const;
  void Complain(const std::string& complaint);
  void Give();  // something to do
  void GiveSegment();
  void TakeBack();
  void MakeRecords();
  void Sum();
  uint64_t Draw(uint64_t below) { return world_.random()() % below; }

  const bool verbose_;
  ChaosOutcome& outcome_;
  World world_;
  Misfortune misfortune_;
  std::vector<CommandId> given_;
};

WorldOptions Prepare(const ChaosOptions& options, Referee::Complain complain) {
  WorldOptions world = DrawWorld(options.seed);
  world.complain = std::move(complain);
  if (options.sabotage) options.sabotage(world);
  return world;
}

Chaos::Chaos(const ChaosOptions& options, ChaosOutcome& outcome)
    : verbose_(options.verbose),
      outcome_(outcome),
      world_(Prepare(options, [this](const std::string& complaint) { Complain(complaint); })),
      misfortune_(world_, [this](const std::string& what) {
        ++outcome_.counts[what.substr(0, what.rfind(' '))];
        Say(what);
      }) {}

void Chaos::Say(const std::string& what) const {
  if (!verbose_) return;
  std::cout << absl::StrFormat("%9.3f  %s\n", static_cast<double>(world_.now().millis()) / 1000, what);
}

void Chaos::Complain(const std::string& complaint) {
  if (verbose_) std::cout << "COMPLAINT " << complaint << "\n";
  if (outcome_.complaints.size() < kMaxComplaints) outcome_.complaints.push_back(complaint);
}

void Chaos::GiveSegment() {
  const size_t i = Draw(world_.size());
  const SegmentAsk ask{.length = absl::Milliseconds(Draw(4000)),
                       .ttl = absl::Milliseconds(50 + Draw(4000)),
                       .entity = static_cast<uint32_t>(1 + Draw(world_.options().entities + (Draw(10) == 0))),
                       .append = Draw(5) < 2,
                       .queue = Draw(5) < 2};
  const std::optional<CommandId> id = world_.Submit(i, ask);
  if (!id) return;
  given_.push_back(*id);
  Say(absl::StrCat("command ", Number(*id), " to ", world_.device(i).id().view(), " entity ", ask.entity,
                   ask.append ? " append" : "", ask.queue ? " queue" : "", " ttl ", absl::FormatDuration(ask.ttl),
                   " takes ", absl::FormatDuration(ask.length)));
}

void Chaos::TakeBack() {
  v1::Cancel cancel;
  switch (Draw(6)) {
    case 0:
      cancel.set_entity_id(1);
      break;
    case 1:
      cancel.set_device(true);
      break;
    case 2:
      cancel.set_stop(true);
      break;
    case 3:
      if (Draw(3) == 0) world_.StopAll();
      return;
    default:
      if (given_.empty()) return;
      const CommandId id = given_[given_.size() - 1 - Draw(std::min<size_t>(given_.size(), 5))];
      if (Draw(3) == 0) {
        world_.Reconcile(id);
      } else {
        world_.Cancel(id);
      }
      return;
  }
  const size_t i = Draw(world_.size());
  if (world_.Cancel(i, cancel)) Say(absl::StrCat(cancel.ShortDebugString(), " to ", world_.device(i).id().view()));
}

void Chaos::MakeRecords() {
  const size_t i = Draw(world_.size());
  if (!world_.device(i).is_on() || world_.device(i).is_frozen()) return;
  if (Draw(2) == 0) return world_.TellEvent(i);
  for (uint64_t samples = 1 + Draw(8); samples > 0; --samples) world_.TellSample(i);
}

void Chaos::Give() {
  if (Draw(2) == 0) GiveSegment();
  if (Draw(8) == 0) TakeBack();
  if (Draw(2) == 0) MakeRecords();
}

void Chaos::Sum() {
  for (const auto& [id, kept] : world_.store().commands()) {
    Say(TextOf(kept.saved));
    const server::CommandStepRow& end = kept.saved.steps.back();
    ++outcome_.counts[absl::StrCat("command ", server::Name(end.state), " ", end.reason)];
  }
  for (size_t i = 0; i < world_.size(); ++i) {
    const server::DeviceStreams* streams = world_.server().state().streams().Find(world_.Seen(i).index);
    if (streams == nullptr) continue;
    for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) {
      const server::StreamTotals totals = streams->Totals(stream);
      outcome_.counts["records stored"] += totals.stored;
      for (const auto& [reason, count] : totals.dropped) {
        outcome_.counts[absl::StrCat("records dropped ", v1::DropReason_Name(reason))] += count;
      }
    }
  }
}

void Chaos::Run() {
  world_.RunFor(kConnect);
  const MonoTime end = world_.now() + absl::Seconds(20 + Draw(40));
  while (world_.now() < end) {
    if (Draw(3) == 0) misfortune_.Strike();
    Give();
    world_.RunFor(absl::Milliseconds(Draw(1000)));
  }
  misfortune_.End();
  world_.RunFor(kSettle);
  Audit(world_, [this](const std::string& complaint) { Complain("in the end: " + complaint); });
  Sum();
  outcome_.hash = world_.hash();
}

}  // namespace

ChaosOutcome RunChaos(const ChaosOptions& options) {
  ChaosOutcome outcome;
  Chaos(options, outcome).Run();
  return outcome;
}

}  // namespace fleet
