// The part of FleetState that gives orders: who may get a command, who is stopped, and what has to go out before it.
#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/can_orders.h"
#include "server/fleet_state.h"
#include "server/modbus_orders.h"

namespace fleet::server {
namespace {

absl::Status Check(const v1::Segment& segment) {
  if (!v1::SegmentType_IsValid(segment.type()) || segment.type() == v1::SEGMENT_TYPE_UNSPECIFIED) {
    return absl::InvalidArgumentError("segment type must be line, arc_left, arc_right or hold");
  }
  if (!v1::SegmentMode_IsValid(segment.mode())) {
    return absl::InvalidArgumentError("segment mode must be replace or append");
  }
  if (segment.start_speed_mm_s() < 0 || segment.end_speed_mm_s() < 0) {
    return absl::InvalidArgumentError("speeds must be 0 or more");
  }
  const bool moves = segment.type() != v1::SEGMENT_TYPE_HOLD;
  if (moves && segment.start_speed_mm_s() == 0 && segment.end_speed_mm_s() == 0) {
    return absl::InvalidArgumentError("with both speeds 0 the entity never arrives; use type hold to stand still");
  }
  return absl::OkStatus();
}

absl::Status Check(const v1::Cancel&) {
  return absl::InvalidArgumentError("a cancel goes to what it cancels");
}

std::string OfflineText(const Device& device, const LivenessStatus& status) {
  return absl::StrCat("device ", device.id.view(), " is offline (", Name(status.reason), ")");
}

}  // namespace

absl::StatusOr<CommandId> FleetState::Submit(absl::string_view device_id, const CommandBody& body,
                                             const SubmitOptions& options, Now now, Changes& changes) {
  RETURN_IF_ERROR(std::visit([](const auto& order) { return Check(order); }, body));
  Device* device = registry_.Find(device_id);
  if (device == nullptr) return absl::NotFoundError(absl::StrCat("no device ", device_id));
  if (device->clone_alarm) {
    return absl::FailedPreconditionError(
        absl::StrCat("two devices use the id ", device_id, ", so nobody knows which would obey; nothing was sent"));
  }
  if (!device->reachable() && !options.queue) {
    return absl::FailedPreconditionError(
        absl::StrCat(OfflineText(*device, liveness_.status(device->index)), "; nothing was sent"));
  }
  changes.urgent = true;
  BeatBeforeCommand(*device, now);
  return commands_.Submit(*device, {.body = body, .ttl = options.ttl, .issued_unix_ms = SteadyUnixMs(now)}, now,
                          changes.rows);
}

absl::StatusOr<Cancelled> FleetState::CancelCommand(CommandId id, absl::Duration ttl, Now now, Changes& changes) {
  const Command* command = commands_.Find(id);
  if (command == nullptr) return absl::NotFoundError(absl::StrCat("no command ", Number(id)));
  if (std::holds_alternative<v1::Cancel>(command->row.body)) {
    return absl::InvalidArgumentError(absl::StrCat("command ", Number(id), " is itself a cancel"));
  }
  if (command->phase == Command::Phase::kEnded) {
    return absl::FailedPreconditionError(absl::StrCat("command ", Number(id), " has ended: ", Name(command->state())));
  }
  v1::Cancel cancel;
  cancel.set_command_id(Number(id));
  return CancelOnDevice(registry_.at(command->device), cancel, ttl, now, changes);
}

absl::StatusOr<Cancelled> FleetState::CancelOn(absl::string_view device_id, const v1::Cancel& cancel,
                                               absl::Duration ttl, Now now, Changes& changes) {
  Device* device = registry_.Find(device_id);
  if (device == nullptr) return absl::NotFoundError(absl::StrCat("no device ", device_id));
  return CancelOnDevice(*device, cancel, ttl, now, changes);
}

absl::StatusOr<Cancelled> FleetState::CancelOnDevice(Device& device, const v1::Cancel& cancel, absl::Duration ttl,
                                                     Now now, Changes& changes) {
  changes.urgent = true;
  Cancelled cancelled{.ended = commands_.CancelUnsent(device, cancel, now, changes.rows), .sent = std::nullopt};
  const bool single = cancel.target_case() == v1::Cancel::kCommandId;
  if (single && !cancelled.ended.empty()) return cancelled;
  if (device.reachable()) {
    ASSIGN_OR_RETURN(cancelled.sent, SendCancel(device, cancel, ttl, now, changes));
    return cancelled;
  }
  // Nothing can be there: taking back what waited here was all there was to do. A stop asks for more than that.
  if (!cancel.stop() && !commands_.MayHold(device, cancel)) return cancelled;
  return absl::FailedPreconditionError(absl::StrCat(OfflineText(device, liveness_.status(device.index)),
                                                    " and was not told; ", cancelled.ended.size(),
                                                    " commands that had not been sent to it were cancelled"));
}

absl::StatusOr<CommandId> FleetState::SendCancel(Device& device, const v1::Cancel& cancel, absl::Duration ttl, Now now,
                                                 Changes& changes) {
  BeatBeforeCommand(device, now);
  ASSIGN_OR_RETURN(
      const CommandId id,
      commands_.Submit(device, {.body = cancel, .ttl = ttl, .issued_unix_ms = SteadyUnixMs(now)}, now, changes.rows));
  if (cancel.stop()) {
    SendBeat(now, changes.first);
    changes.stops.push_back(id);
  }
  return id;
}

std::vector<Stopped> FleetState::StopAll(absl::Duration ttl, Now now, Changes& changes) {
  v1::Cancel stop;
  stop.set_stop(true);
  std::vector<Stopped> stopped;
  for (DeviceIndex index = 0; index < registry_.size(); ++index) {
    Device& device = registry_.at(index);
    const auto covered = [&](CommandId id) { return Covers(stop, commands_.Find(id)->row); };
    if (!device.reachable() && std::ranges::none_of(device.open_commands, covered)) continue;
    const absl::StatusOr<Cancelled> result = CancelOnDevice(device, stop, ttl, now, changes);
    if (result.ok()) {
      stopped.push_back({index, *result->sent});
    } else {
      stopped.push_back({index, result.status()});
    }
  }
  return stopped;
}

absl::Status FleetState::Reconcile(CommandId id, Now now) {
  const Command* command = commands_.Find(id);
  if (command == nullptr) return absl::NotFoundError(absl::StrCat("no command ", Number(id)));
  commands_.Ask(id, now.mono);
  return absl::OkStatus();
}

void FleetState::BeatBeforeCommand(const Device& device, Now now) {
  if (last_beat_ <= device.said_online) next_beat_ = now.mono;
}

void FleetState::SendPatrol(Now now, Changes& changes) {
  if (!hearing_.hears() || !store_works_ || !patrol_.Due(now.mono)) return;
  for (DeviceIndex index = 0; index < registry_.size(); ++index) {
    Device& device = registry_.at(index);
    if (liveness_.status(index).state != LivenessState::kOnline || device.clone_alarm) continue;
    BeatBeforeCommand(device, now);
    for (const Entity& entity : device.entities) {
      // Too many open commands: the next round tries again.
      (void)commands_.Submit(
          device,
          {.body = Patrol::SegmentFor(entity.latest.id), .ttl = patrol_.ttl(), .issued_unix_ms = SteadyUnixMs(now)},
          now, changes.rows);
    }
  }
}

}  // namespace fleet::server
