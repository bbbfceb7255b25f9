#include "tests/sim/audit.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

using server::SavedCommand;

bool IsSegment(const SavedCommand& command) {
  return std::holds_alternative<v1::Segment>(command.row.body);
}

// How often a segment that ended so may have started; -1: nobody can say.
int StartsOf(const server::CommandStepRow& end) {
  // A later life does not know what the disk could not remember: a copy that comes then still runs once, if in time.
  if (end.reason == "spool_failed") return -1;
  switch (end.state) {
    case v1::COMMAND_STATE_DONE:
      return 1;
    case v1::COMMAND_STATE_REJECTED:
    case v1::COMMAND_STATE_EXPIRED:
      return 0;
    default:
      break;
  }
  const bool never = end.reason == "operator" || end.reason == "newer_known" || end.reason == "not_stored";
  return never ? 0 : -1;
}

bool IsLost(const server::CommandStepRow& end) {
  return end.state == v1::COMMAND_STATE_UNKNOWN && end.reason == "memory_lost";
}

// As an operator sees it. What the database refused for good may be missing there until the server starts again.
const std::vector<server::CommandStepRow>& StepsOf(const World& world, const SimStore::Kept& kept) {
  const server::Command* known = world.server().state().commands().Find(kept.saved.row.id);
  return known != nullptr && world.store().refused() > 0 ? known->steps : kept.saved.steps;
}

void AuditCommand(const World& world, const SimStore::Kept& kept, const Referee::Complain& complain) {
  const SavedCommand& command = kept.saved;
  const std::string name = absl::StrCat("command ", Number(command.row.id));
  const std::vector<server::CommandStepRow>& steps = StepsOf(world, kept);
  if (steps.empty()) return complain(absl::StrCat(name, " has no steps"));
  const server::CommandStepRow& end = steps.back();
  const std::string ending = absl::StrCat(server::Name(end.state), " ", end.reason);
  if (!server::IsEnd(end.state) && !IsLost(end)) complain(absl::StrCat(name, " is open for ever: ", ending));
  if (end.reason.empty() && end.state != v1::COMMAND_STATE_DONE && end.state != v1::COMMAND_STATE_SUPERSEDED) {
    complain(absl::StrCat(name, " does not say why: ", ending));
  }
  if (!IsSegment(command)) return;
  const auto truth = world.command_truth().find(command.row.id);
  const int starts = truth == world.command_truth().end() ? 0 : truth->second.starts;
  const int expected = StartsOf(end);
  if (expected >= 0 && starts != expected) {
    complain(absl::StrCat(name, " is said to be ", ending, " and started ", starts, " times"));
  }
}

void AuditCommands(const World& world, const Referee::Complain& complain) {
  for (const auto& [id, kept] : world.store().commands()) AuditCommand(world, kept, complain);
  for (const auto& [id, truth] : world.command_truth()) {
    if (truth.starts == 0 || world.store().commands().contains(id)) continue;
    complain(absl::StrCat("command ", Number(id), " started and was never stored"));
  }
}

void AuditStream(const World& world, size_t i, v1::Stream stream, const Referee::Complain& complain) {
  const SimDevice& device = world.device(i);
  const server::Device& seen = world.Seen(i);
  const std::string name = absl::StrCat(device.id().view(), " ", v1::Stream_Name(stream));
  const server::DeviceStreams* streams = world.server().state().streams().Find(seen.index);
  if (streams == nullptr) {
    if (device.made(stream) > 0) complain(absl::StrCat(name, " is not in the ledger"));
    return;
  }
  const server::StreamTotals totals = streams->Totals(stream);
  const std::string sums =
      absl::StrCat("sent ", totals.sent, " stored ", totals.stored, " dropped ", totals.dropped_count(), " in flight ",
                   totals.in_flight(), " waiting ", device.agent().agent().outbox().waiting(stream));
  const uint64_t in_store = world.store().RecordsOf(seen.row, stream);
  if (!streams->balanced()) complain(absl::StrCat(name, " does not balance: ", streams->Complaint(stream)));
  if (totals.in_flight() > 0) complain(absl::StrCat(name, " is in flight for ever: ", sums));
  if (device.agent().agent().outbox().waiting(stream) > 0) complain(absl::StrCat(name, " waits for ever: ", sums));
  if (totals.stored != in_store) complain(absl::StrCat(name, ": ", in_store, " are in the store, ", sums));
  if (totals.sent > device.made(stream)) {
    complain(absl::StrCat(name, ": only ", device.made(stream), " were made, ", sums));
  }
}

// What was on the disk is stored at the server.
void AuditDisk(const World& world, size_t i, const Referee::Complain& complain) {
  const SimDevice& device = world.device(i);
  if (device.disk() == nullptr || device.uses_numbers_anew()) return;
  for (const auto& [stream, epoch, seq] : device.disk()->kept()) {
    if (world.store().CountOf(world.Seen(i).row, stream, epoch, seq) > 0) continue;
    complain(absl::StrCat(device.id().view(), " ", v1::Stream_Name(stream), " epoch ", epoch, " number ", seq,
                          " was on the disk and is not stored"));
  }
}

// Nothing ever happened to this device that excuses a loss.
bool IsBlessed(const World& world, const SimDevice& device) {
  const device::SpoolBounds bounds = world.options().disk.value_or(SimDisk::Options()).bounds;
  const bool tight = bounds.keep_bytes < (1 << 20) || bounds.keep < absl::Hours(24);
  return device.disk() != nullptr && !tight && device.crashes() == 0 && device.losses() == 0 &&
         !device.disk()->was_ever_full();
}

void AuditTokens(const World& world, const Referee::Complain& complain) {
  for (const auto& [token, count] : world.store().tokens()) {
    // A late copy of what was made before the disk was lost may be taken for something new.
    const bool may_be_twice = world.device(world.told_by()[token]).losses() > 0;
    if (count != 1 && !may_be_twice) complain(absl::StrCat("what was told as ", token, " is stored ", count, " times"));
  }
  for (uint64_t token = 0; token < world.told_by().size(); ++token) {
    const SimDevice& device = world.device(world.told_by()[token]);
    if (world.store().tokens().contains(token) || !IsBlessed(world, device)) continue;
    complain(absl::StrCat("what was told to ", device.id().view(), " as ", token, " is lost without a cause"));
  }
}

}  // namespace

void Audit(const World& world, const Referee::Complain& complain) {
  for (size_t i = 0; i < world.size(); ++i) {
    const server::LivenessStatus status = world.Status(i);
    if (status.state != server::LivenessState::kOnline) {
      complain(absl::StrCat(world.device(i).id().view(), " is ", server::Name(status.state)));
    }
    for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) AuditStream(world, i, stream, complain);
    AuditDisk(world, i, complain);
  }
  AuditCommands(world, complain);
  AuditTokens(world, complain);
}

}  // namespace fleet
