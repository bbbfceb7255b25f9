#include "tools/fleetctl/can_bridge.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "tools/fleetctl/follow.h"

namespace fleet {
namespace {

// "7E0#0201 is not on the list": does the device speak of this one?
bool Names(absl::string_view detail, const CanFrame& frame) {
  std::string text;
  AppendCanFrameText(frame, text);
  return absl::StartsWith(detail, absl::StrCat(text, " "));
}

}  // namespace

CanBridge::CanBridge(std::string place, std::unique_ptr<CanBus> bus, Send send, Say say, absl::Duration stale)
    : place_(std::move(place)), send_(std::move(send)), say_(std::move(say)), stale_(stale) {
  {
    MutexLock lock(mu_);  // so that the first news finds the port
    port_ = std::make_unique<CanPort>(place_, std::move(bus), [this] { HearPort(); });
  }
  sender_ = std::thread([this] { SendAll(); });
}

CanBridge::~CanBridge() {
  std::unique_ptr<CanPort> port;
  {
    MutexLock lock(mu_);
    port = std::move(port_);
    changed_.NotifyAll();
  }
  port.reset();  // without the lock, which its thread may want
  sender_.join();
}

CanBridge::Counts CanBridge::counts() const {
  MutexLock lock(mu_);
  return counts_;
}

// ---- towards the bus here

void CanBridge::Write(const std::vector<CanFrame>& frames) {
  MutexLock lock(mu_);
  uint64_t too_many = 0;
  for (const CanFrame& frame : frames) {
    if (frame.is(kCanError)) continue;
    if (to_bus_.size() < kMaxWaiting) {
      to_bus_.push_back(frame);
    } else {
      ++too_many;
    }
  }
  if (too_many > 0) Unwritten(too_many, "it is slower than the vehicle's bus");
  OrderNext();
}

void CanBridge::HearPort() {
  MutexLock lock(mu_);
  if (port_ == nullptr) return;
  port_->Take(news_);
  Queue(news_.frames);
  for (CanOutcome& outcome : news_.outcomes) HearOutcome(outcome);
  const uint64_t lost = news_.dropped + news_.report.lost;
  if (lost > lost_) Unsent(lost - lost_, "lost before they were read");
  lost_ = lost;
  HearReport(news_.report);
  OrderNext();
}

void CanBridge::HearReport(const CanBusReport& report) {
  const bool was_up = !report_ || report_->up;
  if (report.up && !was_up) say_(absl::StrCat(place_, " is up"));
  if (!report.up && (was_up || report.problem != report_->problem)) {
    say_(absl::StrCat(place_, " is not up: ", report.problem));
  }
  report_ = report;
}

// A frame that this bus cannot carry is left out. A bus that takes nothing would hold up each of them.
void CanBridge::HearOutcome(CanOutcome& outcome) {
  ordered_ = false;
  counts_.written += outcome.sent;
  if (outcome.status.ok()) return;
  const std::vector<CanFrame>& frames = outcome.order.frames;
  const size_t failed = absl::IsInvalidArgument(outcome.status) ? 1 : frames.size() - outcome.sent;
  Unwritten(failed, outcome.status.message());
  to_bus_.insert(to_bus_.begin(), frames.begin() + static_cast<ptrdiff_t>(outcome.sent + failed), frames.end());
}

void CanBridge::OrderNext() {
  if (ordered_ || port_ == nullptr || !report_ || to_bus_.empty()) return;
  if (!report_->up) {  // which was told
    counts_.unwritten += to_bus_.size();
    to_bus_.clear();
    return;
  }
  const auto end = to_bus_.begin() + static_cast<ptrdiff_t>(std::min(to_bus_.size(), CanBus::kMaxRead));
  ordered_ = port_->Send({.frames = {to_bus_.begin(), end}, .token = 0});
  if (ordered_) to_bus_.erase(to_bus_.begin(), end);
}

void CanBridge::Unwritten(uint64_t frames, absl::string_view why) {
  counts_.unwritten += frames;
  Complain(unwritten_, frames, why);
}

// ---- towards the vehicle

void CanBridge::Queue(const std::vector<CanFrame>& frames) {
  const MonoTime now = clock_.Read().mono;
  uint64_t too_many = 0;
  for (const CanFrame& frame : frames) {
    if (frame.is(kCanError)) continue;
    if (to_vehicle_.size() < kMaxWaiting) {
      to_vehicle_.push_back({.since = now, .frame = frame});
    } else {
      ++too_many;
    }
  }
  if (too_many > 0) Unsent(too_many, "the way to the vehicle is too slow");
  changed_.NotifyAll();
}

void CanBridge::SendAll() {
  for (std::vector<Waiting> batch = AwaitBatch(); !batch.empty(); batch = AwaitBatch()) SendBatch(std::move(batch));
}

// Empty: we end.
std::vector<CanBridge::Waiting> CanBridge::AwaitBatch() {
  MutexLock lock(mu_);
  while (port_ != nullptr) {
    const MonoTime now = clock_.Read().mono;
    if (to_vehicle_.empty()) {
      changed_.Wait(mu_);
    } else if (const MonoTime due = NextDue(now); due > now) {
      changed_.WaitFor(mu_, due - now);
    } else if (std::vector<Waiting> batch = TakeBatch(now); !batch.empty()) {
      turn_ = std::max(turn_, now) + kTurn;
      return batch;
    }
  }
  return {};
}

MonoTime CanBridge::NextDue(MonoTime now) const {
  const MonoTime gathered = to_vehicle_.size() < kMaxBatch ? to_vehicle_.front().since + kGather : now;
  return std::max(gathered, turn_ - kTurnsAhead * kTurn);
}

std::vector<CanBridge::Waiting> CanBridge::TakeBatch(MonoTime now) {
  std::vector<Waiting> batch;
  while (!to_vehicle_.empty() && batch.size() < kMaxBatch) {
    const Waiting waiting = to_vehicle_.front();
    to_vehicle_.pop_front();
    const auto refusal = refused_.find(KeyOf(waiting.frame));
    if (now - waiting.since > stale_) {
      Unsent(1, "waited too long to be sent");
    } else if (refusal == refused_.end() || refusal->second.until <= now) {
      batch.push_back(waiting);
    } else {
      Unsent(1, refusal->second.why);
    }
  }
  return batch;
}

// What is left of a refused batch waits for a turn of its own.
void CanBridge::SendBatch(std::vector<Waiting> batch) {
  std::vector<CanFrame> frames;
  for (const Waiting& waiting : batch) frames.push_back(waiting.frame);
  const absl::StatusOr<v1::CommandView> command = send_(frames);
  if (absl::IsCancelled(command.status())) return;  // we end
  MutexLock lock(mu_);
  if (command.ok() && command->state() == "done") {
    counts_.sent += batch.size();
    return;
  }
  const std::string why = command.ok() ? StateAndWhy(*command) : std::string(command.status().message());
  const size_t left_out = command.ok() ? LeaveOut(*command, batch) : 0;
  Unsent(left_out == 0 ? batch.size() : left_out, why);
  if (left_out > 0) to_vehicle_.insert(to_vehicle_.begin(), batch.begin(), batch.end());
}

// Returns how many frames; 0: the device did not say which it refuses.
size_t CanBridge::LeaveOut(const v1::CommandView& command, std::vector<Waiting>& batch) {
  if (command.state() != "rejected" || command.steps().empty()) return 0;
  const v1::CommandStepView& step = command.steps(command.steps_size() - 1);
  const auto culprit =
      std::ranges::find_if(batch, [&](const Waiting& waiting) { return Names(step.detail(), waiting.frame); });
  if (culprit == batch.end()) return 0;
  if (refused_.size() >= kMaxRefused) refused_.clear();
  const IdKey key = KeyOf(culprit->frame);
  refused_[key] = {.until = clock_.Read().mono + kRefused, .why = StateAndWhy(command)};
  return std::erase_if(batch, [key](const Waiting& waiting) { return KeyOf(waiting.frame) == key; });
}

void CanBridge::Unsent(uint64_t frames, absl::string_view why) {
  counts_.unsent += frames;
  Complain(unsent_, frames, why);
}

void CanBridge::Complain(Complaint& complaint, uint64_t frames, absl::string_view why) {
  complaint.untold += frames;
  const MonoTime now = clock_.Read().mono;
  if (now < complaint.next) return;
  say_(absl::StrCat(Plural(static_cast<double>(complaint.untold), "frame"), " ", complaint.what, place_, ": ", why));
  complaint.untold = 0;
  complaint.next = now + kSayAgain;
}

}  // namespace fleet
