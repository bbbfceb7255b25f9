// The part of FleetState that knows which life of an agent speaks, and when there are two agents of one id.
#include <algorithm>
#include <utility>

#include "server/fleet_state.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kMinBeatGap = absl::Milliseconds(100);

Life LifeOf(const v1::Status& status) {
  return {.epoch = status.epoch(), .started_unix_ms = status.started_unix_ms()};
}

bool IsNewer(const Device& device, const Life& life) {
  if (device.past_lives.Find(life) != nullptr) return false;
  return life.epoch >= device.epoch;  // its clock may have gone back
}

}  // namespace

void FleetState::On(const StatusEvent& event, Now now, Changes& changes) {
  Device* device = FindOrAdd(event.device, changes);
  if (device == nullptr) return;
  if (event.status->presence() == v1::PRESENCE_ONLINE) {
    SaidOnline(*device, event, now, changes);
  } else {
    SaidGone(*device, *event.status, now, changes);
  }
}

// Said by the device itself, so it may also go back: an agent that lost its disk counts its lives from 1 again. But
// what the broker had stored may be older than what we have heard, when it lost its own memory: it goes back only once
// a message of that life comes.
void FleetState::SaidOnline(Device& device, const StatusEvent& event, Now now, Changes& changes) {
  const v1::Status& status = *event.status;
  const Life life = LifeOf(status);
  const bool same = device.life().Is(life);
  if (event.retained && !same && !IsNewer(device, life)) {
    device.rumour = life;
    return;
  }
  device.rumour = {};
  if (!same) Adopt(device, life, now, changes);
  device.started_unix_ms = life.started_unix_ms;
  device.version = status.version();
  device.said_online = now.mono;
  commands_.AskAll(device, now.mono);
  next_beat_ = std::min(next_beat_, std::max(now.mono, last_beat_ + kMinBeatGap));  // it waits for one
  if (std::exchange(device.fail_safe, status.fail_safe()) != status.fail_safe()) FlushDevice(device, changes);
  FlushLater(device, now.mono + kFlushStates, flush_states_);
}

void FleetState::Adopt(Device& device, const Life& life, Now now, Changes& changes) {
  const uint32_t before = device.epoch;
  if (ChangeLife(device, life, now)) {
    RaiseCloneAlarm(device, now, changes);
  } else if (life.epoch <= before) {
    streams_.DiskLost(device, 1, changes.rows);  // lives on the new disk may have passed that we never heard of
  }
}

// A goodbye or a will. It counts for the life that it is of, or for one that is newer than all that we know.
void FleetState::SaidGone(Device& device, const v1::Status& status, Now now, Changes& changes) {
  const Life life = LifeOf(status);
  if (!device.life().Is(life)) {
    if (life.epoch <= device.epoch || device.past_lives.Find(life) != nullptr) {
      ++counters_.stale_epoch;
      return;
    }
    ChangeLife(device, life, now);
  }
  const bool goodbye = status.presence() == v1::PRESENCE_OFFLINE;
  if (goodbye) {
    liveness_.SaidGoodbye(device.index, liveness_changes_);
  } else {
    liveness_.WillArrived(device.index, now.mono);
  }
  // A device that is offline may have come back to say a word without a heartbeat getting through. One that is not is
  // declared gone when the will takes effect.
  if (liveness_.status(device.index).state == LivenessState::kOffline) {
    DeclareGone(device, goodbye ? OfflineReason::kClean : OfflineReason::kLost, now, changes);
  }
}

bool FleetState::EnterLife(Device& device, uint32_t epoch, Now now, Changes& changes) {
  if (epoch == device.epoch) {
    device.rumour = {};
    return true;
  }
  if (epoch == device.rumour.epoch) {
    Adopt(device, std::exchange(device.rumour, {}), now, changes);
    return true;
  }
  const Life* past = device.past_lives.Find(epoch);
  if (past != nullptr && device.clone_alarm) {  // two agents take turns: the word has who speaks
    ChangeLife(device, Life(*past), now);
    return true;
  }
  if (past != nullptr || epoch < device.epoch) {
    ++counters_.stale_epoch;
    return false;
  }
  ChangeLife(device, {.epoch = epoch}, now);
  return true;
}

bool FleetState::ChangeLife(Device& device, const Life& life, Now now) {
  const bool again = device.past_lives.Move(device.life(), life);
  device.said_online = now.mono;       // it needs a beat before it can judge what it is asked
  commands_.AskAll(device, now.mono);  // its answers tell what the restart did to them
  device.epoch = life.epoch;
  device.started_unix_ms = life.started_unix_ms;
  for (SequenceTracker* tracker : {&device.heartbeats, &device.states}) {
    again ? tracker->ResumeLife(life.epoch) : tracker->StartLife(life.epoch);
  }
  liveness_.TakeBackWill(device.index);  // it was of the life that is over
  return again;
}

void FleetState::RaiseCloneAlarm(Device& device, Now now, Changes& changes) {
  clone_alarms_.Set(device.index, device.clone_alarm_ends, now.mono + kCloneAlarm);
  if (std::exchange(device.clone_alarm, true)) return;
  liveness_.SetReplaced(device.index, true, liveness_changes_);
  FlushDevice(device, changes);
}

void FleetState::EndCloneAlarms(Now now, Changes& changes) {
  while (const std::optional<DeviceIndex> index = clone_alarms_.Due(now.mono)) {
    Device& device = registry_.at(*index);
    clone_alarms_.Set(*index, device.clone_alarm_ends, MonoTime::Max());
    device.clone_alarm = false;
    liveness_.SetReplaced(*index, false, liveness_changes_);
    commands_.AskAll(device, now.mono);
    FlushDevice(device, changes);
  }
}

}  // namespace fleet::server
