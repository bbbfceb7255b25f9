#include "server/fleet_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/topics.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::server {
namespace {

constexpr uint64_t kLastUnixMs = 253'402'300'799'999;  // of the year 9999

}  // namespace

FleetState::FleetState(const FleetOptions& options, SavedFleet saved, Now start, Changes& changes)
    : server_epoch_(saved.server_epoch),
      steady_offset_ms_(saved.steady_offset_ms.value_or(start.unix_ms() - start.mono.millis())),
      registry_(std::max(options.max_devices, saved.devices.size())),
      liveness_(options.liveness),
      commands_({.max_open = options.max_open_commands, .max_ttl = options.max_ttl, .first_id = saved.next_command}),
      patrol_(options.patrol) {
  Restore(saved, start, changes);
}

void FleetState::Restore(const SavedFleet& saved, Now now, Changes& changes) {
  absl::flat_hash_map<int64_t, DeviceIndex> by_row;
  for (const DeviceRow& row : saved.devices) {
    Device& device = *registry_.Restore(row.id, row.device_row);
    by_row.emplace(row.device_row, device.index);
    device.epoch = row.epoch;
    device.started_unix_ms = row.started_unix_ms;
    device.version = row.version;
    device.last_seen_unix_ms = row.last_seen_unix_ms;
    device.state_since_unix_ms = row.state_since_unix_ms;
    device.heartbeats = SequenceTracker(row.heartbeats);
    device.states = SequenceTracker(row.states);
    for (const EntityRow& entity : row.entities) device.entities.push_back({.latest = entity, .received = MonoTime()});
    liveness_.Add(row.last_seen_unix_ms != 0, row.liveness);
    const bool offline = row.liveness.state == LivenessState::kOffline;
    if (!offline) device.state_since_unix_ms = now.unix_ms();
    if (offline) device.state = LivenessState::kOffline;
  }
  for (const StreamTotalsRow& row : saved.stream_totals) {
    const auto found = by_row.find(row.device_row);
    if (found != by_row.end()) streams_.Restore(registry_.at(found->second), row);
  }
  for (const StreamAccountRow& row : saved.stream_accounts) {
    const auto found = by_row.find(row.device_row);
    if (found != by_row.end()) streams_.Restore(registry_.at(found->second), row);
  }
  for (const SavedCommand& command : saved.open_commands) {
    const auto found = by_row.find(command.row.device_row);
    if (found == by_row.end()) continue;
    commands_.Restore(registry_.at(found->second), command, SteadyUnixMs(now), now, changes.rows);
  }
}

void FleetState::LinkUp(Now now, Changes& changes) {
  hearing_.LinkUp(now.mono);
  next_beat_ = next_probe_ = now.mono;
  SendBeats(now, changes);
  for (DeviceIndex index = 0; index < registry_.size(); ++index) commands_.AskAll(registry_.at(index), now.mono);
}

void FleetState::LinkDown(Now now, Changes& changes) {
  hearing_.LinkDown();
  was_hearing_ = false;
  liveness_.Deaf(liveness_changes_);
  ApplyLiveness(now, changes);
  // Answers that the broker has for us now are gone with the session.
  for (DeviceIndex index = 0; index < registry_.size(); ++index) {
    commands_.DeviceGone(registry_.at(index), "server_link_down", now, changes.rows);
  }
}

void FleetState::Apply(const Event& event, Now now, Changes& changes) {
  std::visit([&](const auto& e) { On(e, now, changes); }, event);
  if (!liveness_changes_.empty()) ApplyLiveness(now, changes);
}

void FleetState::On(const HeartbeatEvent& event, Now now, Changes& changes) {
  Device* device = FindOrAdd(event.device, changes);
  const v1::Heartbeat& heartbeat = *event.heartbeat;
  if (device == nullptr || !EnterLife(*device, heartbeat.epoch(), now, changes)) return;
  ++counters_.heartbeats;
  const auto verdict = device->heartbeats.Accept(heartbeat.epoch(), heartbeat.seq());
  FlushLater(*device, now.mono + kFlushHeartbeats, flush_heartbeats_);
  if (verdict != SequenceTracker::Verdict::kNew) return;
  const int64_t unix_ms = now.unix_ms();
  device->heard = true;
  device->last_heartbeat = now.mono;
  device->last_seen_unix_ms = unix_ms;
  // The device may say anything.
  device->clock_skew_ms = static_cast<int64_t>(std::min(heartbeat.sent_unix_ms(), kLastUnixMs)) - unix_ms;
  liveness_.Heard(device->index, now.mono, liveness_changes_);
}

void FleetState::On(const StateEvent& event, Now now, Changes& changes) {
  Device* device = FindOrAdd(event.device, changes);
  const v1::StateReport& report = *event.report;
  if (device == nullptr || !EnterLife(*device, report.epoch(), now, changes)) return;
  ++counters_.state_reports;
  const auto verdict = device->states.Accept(report.epoch(), report.seq());
  FlushLater(*device, now.mono + kFlushStates, flush_states_);
  if (verdict == SequenceTracker::Verdict::kDuplicate) return;
  device->block.Append(now.unix_ms(), event.bytes);
  if (verdict == SequenceTracker::Verdict::kNew) counters_.entities_refused += device->Update(report, now);
  if (device->block.full()) FlushDevice(*device, changes);
}

void FleetState::On(const CommandReportEvent& event, Now now, Changes& changes) {
  Device* device = FindOrAdd(event.device, changes);
  if (device == nullptr || !EnterLife(*device, event.report->epoch(), now, changes)) return;
  for (const v1::CommandUpdate& update : event.report->updates()) {
    commands_.Update(*device, update, now, changes.rows);
  }
}

// A batch says in which life it was made, not which one speaks. As long as the device may have lost its disk, so that
// the numbers of the batch are used anew, it waits: the device sends it again.
void FleetState::On(const EventBatchEvent& event, Now now, Changes& changes) {
  const Device* device = FindOrAdd(event.device, changes);
  if (device != nullptr && device->rumour.epoch == 0) streams_.Take(*device, *event.batch, now, changes.rows);
}

void FleetState::On(const TelemetryEvent& event, Now now, Changes& changes) {
  const Device* device = FindOrAdd(event.device, changes);
  if (device != nullptr && device->rumour.epoch == 0) streams_.Take(*device, *event.batch, now, changes.rows);
}

void FleetState::On(const LedgerEvent& event, Now now, Changes& changes) {
  Device* device = FindOrAdd(event.device, changes);
  if (device == nullptr || !EnterLife(*device, event.report->epoch(), now, changes)) return;
  streams_.Take(*device, *event.report, now, changes.rows);
}

Device* FleetState::FindOrAdd(absl::string_view id, Changes& changes) {
  if (Device* device = registry_.Find(id)) return device;
  Device* device = registry_.Add(*DeviceId::Parse(id));  // ingest has checked it
  if (device == nullptr) {
    ++counters_.devices_refused;
    return nullptr;
  }
  liveness_.Add();
  FlushDevice(*device, changes);  // its commands and changes must not be stored without it
  return device;
}

void FleetState::ApplyLiveness(Now now, Changes& changes) {
  for (const LivenessChange& change : std::exchange(liveness_changes_, {})) {
    Device& device = registry_.at(change.device);
    device.state_since_unix_ms = now.unix_ms();
    changes.rows.liveness.push_back({device.row, change.status, now.unix_ms()});
    const LivenessState before = std::exchange(device.state, change.status.state);
    if (change.status.state == LivenessState::kOffline) {
      DeclareGone(device, change.status.reason, now, changes);
    } else if (before == LivenessState::kOffline || before == LivenessState::kUnknown) {
      commands_.AskAll(device, now.mono);  // it is heard again
    }
    FlushDevice(device, changes);
  }
}

void FleetState::DeclareGone(Device& device, OfflineReason reason, Now now, Changes& changes) {
  commands_.DeviceGone(device, absl::StrCat("device_offline_", Name(reason)), now, changes.rows);
}

void FleetState::FlushLater(Device& device, MonoTime due, std::deque<WaitingFlush>& queue) {
  if (due >= device.flush_due) return;  // waits already; an entry that waits longer finds flush_due changed
  device.flush_due = due;
  queue.push_back({due, device.index});
}

void FleetState::FlushDevice(Device& device, Changes& changes) {
  device.flush_due = MonoTime::Max();
  DeviceRow row{.device_row = device.row,
                .id = device.id,
                .epoch = device.epoch,
                .started_unix_ms = device.started_unix_ms,
                .version = device.version,
                .liveness = liveness_.status(device.index),
                .state_since_unix_ms = device.state_since_unix_ms,
                .last_seen_unix_ms = device.last_seen_unix_ms,
                .heartbeats = device.heartbeats.saved(),
                .states = device.states.saved(),
                .entities = {},
                .block = {}};
  if (!device.block.empty()) {
    row.block = device.block.Take();
    for (const Entity& entity : device.entities) row.entities.push_back(entity.latest);
  }
  changes.rows.devices.push_back(std::move(row));
}

void FleetState::FlushDue(std::deque<WaitingFlush>& queue, MonoTime now, Changes& changes) {
  while (!queue.empty() && queue.front().due <= now) {
    Device& device = registry_.at(queue.front().device);
    const bool still_waits = device.flush_due == queue.front().due;
    queue.pop_front();
    if (still_waits) FlushDevice(device, changes);
  }
}

void FleetState::Committed(uint64_t batch, Changes& changes) {
  commands_.Committed(batch, changes.stored);
  streams_.Committed(batch, registry_, changes.publish);
}

void FleetState::Flush(Changes& changes) {
  FlushDue(flush_states_, MonoTime::Max(), changes);
  FlushDue(flush_heartbeats_, MonoTime::Max(), changes);
}

void FleetState::Lost(uint64_t batch, Now now, Changes& changes) {
  commands_.Lost(batch, registry_, now, changes.rows);
  streams_.Lost(batch, changes.rows);
  // Some device may have been in it for the first time: what refers to it must find it.
  for (DeviceIndex index = 0; index < registry_.size(); ++index) FlushDevice(registry_.at(index), changes);
}

void FleetState::SetStoreWorks(bool works) {
  store_works_ = works;
  streams_.SetStoreWorks(works);
}

void FleetState::SendBeat(Now now, std::vector<Publication>& publish) {
  if (!hearing_.link_up() || next_beat_ > now.mono) return;
  last_beat_ = now.mono;
  next_beat_ = now.mono + kBeatPeriod;
  v1::ServerBeat beat;
  beat.set_server_epoch(server_epoch_);
  beat.set_steady_unix_ms(static_cast<uint64_t>(SteadyUnixMs(now)));
  publish.push_back({.topic = kServerBeatTopic, .payload = beat.SerializeAsString()});
}

void FleetState::SendBeats(Now now, Changes& changes) {
  SendBeat(now, changes.publish);
  if (hearing_.link_up() && next_probe_ <= now.mono) {
    next_probe_ = now.mono + Hearing::kProbePeriod;
    changes.publish.push_back({.topic = kServerProbeTopic, .payload = ""});
  }
}

void FleetState::Tick(Now now, Changes& changes) {
  hearing_.Tick(now.mono);
  if (hearing_.hears() != was_hearing_) {
    was_hearing_ = hearing_.hears();
    was_hearing_ ? liveness_.Hearing(now.mono) : liveness_.Deaf(liveness_changes_);
  }
  EndCloneAlarms(now, changes);
  liveness_.Tick(now.mono, liveness_changes_);
  if (!liveness_changes_.empty()) ApplyLiveness(now, changes);
  const size_t due_before = changes.commands_due.size();
  commands_.Tick(hearing_.link_up(), registry_, now, changes.rows, changes.commands_due);
  for (size_t i = due_before; i < changes.commands_due.size(); ++i) {
    BeatBeforeCommand(registry_.at(commands_.Find(changes.commands_due[i])->device), now);
  }
  SendPatrol(now, changes);
  SendBeats(now, changes);
  FlushDue(flush_states_, now.mono, changes);
  FlushDue(flush_heartbeats_, now.mono, changes);
}

MonoTime FleetState::NextDue() const {
  MonoTime due = std::min({liveness_.NextDue(), clone_alarms_.Next(), commands_.NextDue(hearing_.link_up())});
  if (hearing_.link_up()) due = std::min({due, next_beat_, next_probe_});
  if (hearing_.hears()) due = std::min(due, patrol_.NextDue());
  if (!flush_states_.empty()) due = std::min(due, flush_states_.front().due);
  if (!flush_heartbeats_.empty()) due = std::min(due, flush_heartbeats_.front().due);
  return due;
}

}  // namespace fleet::server
