// Everything the server knows of each device, by id and by index. Grows by devices that are heard of, never shrinks
// while the server runs, bounded by max_devices. Pure; loop thread only.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/to_server.pb.h"
#include "server/history_block.h"
#include "server/liveness.h"
#include "server/past_lives.h"
#include "server/rows.h"
#include "server/sequence_tracker.h"

namespace fleet::server {

struct Entity {
  EntityRow latest;
  MonoTime received;  // restored ones: the start of the clock
  absl::Duration AgeAt(Now now) const;
};

struct Device {
  Device(const DeviceId& device_id, DeviceIndex device_index, int64_t device_row)
      : id(device_id), index(device_index), row(device_row) {}

  const DeviceId id;
  const DeviceIndex index;  // in the registry of this run
  const int64_t row;        // in the database, for good

  // What each heartbeat touches, close together: thousands of devices do not fit into a cache.
  uint32_t epoch = 0;         // 0: no life known yet
  Life rumour;                // a life that the broker had stored and that we take for an old one
  bool heard = false;         // a heartbeat in this run of the server
  MonoTime last_heartbeat;    // valid when heard
  int64_t clock_skew_ms = 0;  // device minus server at the last heartbeat
  int64_t last_seen_unix_ms = 0;
  MonoTime flush_due = MonoTime::Max();  // Max: nothing to write
  SequenceTracker heartbeats;

  uint64_t started_unix_ms = 0;
  std::string version;
  MonoTime said_online;  // the last Status online, or the first word of a life
  int64_t state_since_unix_ms = 0;
  bool fail_safe = false;  // as it said last
  PastLives past_lives;
  bool clone_alarm = false;  // two devices connect with this id
  MonoTime clone_alarm_ends = MonoTime::Max();

  SequenceTracker states;
  std::vector<Entity> entities;  // in the order they were first reported
  HistoryBlock block;
  std::vector<CommandId> open_commands;           // that have not ended, unknown ones included; in order
  size_t unknown_commands = 0;                    // of these
  LivenessState state = LivenessState::kUnknown;  // as FleetState last saw it change
  bool reachable() const { return state != LivenessState::kOffline; }

  bool in_fail_safe() const { return fail_safe && reachable(); }  // of one that is offline nobody knows
  Life life() const { return {.epoch = epoch, .started_unix_ms = started_unix_ms}; }
  // What the entity is, of a device that is `device` (docs/protocol.md section 4).
  LivenessState StateOf(const Entity& entity, LivenessState device, Now now) const;

  // Takes over the latest state of each entity. Entities past kMaxEntitiesPerDevice are left out; returns how many.
  int Update(const v1::StateReport& report, Now now);

 private:
  Entity* FindOrAdd(EntityId id, size_t hint);
  void MeasurePeriod(MonoTime now);

  MonoTime last_report_;
  absl::Duration report_period_;  // smoothed time between reports; zero: not known yet
};

class Registry {
 public:
  explicit Registry(size_t max_devices) : max_devices_(max_devices) {}

  Device* Find(absl::string_view id);
  const Device* Find(absl::string_view id) const { return const_cast<Registry*>(this)->Find(id); }
  // nullptr: full. `id` is not known yet.
  Device* Add(const DeviceId& id) { return Restore(id, last_row_ + 1); }
  // The same for a device that has a row in the database.
  Device* Restore(const DeviceId& id, int64_t row);

  Device& at(DeviceIndex index) { return devices_[index]; }
  const Device& at(DeviceIndex index) const { return devices_[index]; }
  size_t size() const { return devices_.size(); }
  size_t entity_count() const;

 private:
  const size_t max_devices_;
  int64_t last_row_ = 0;
  std::deque<Device> devices_;                                 // addresses stay
  absl::flat_hash_map<absl::string_view, DeviceIndex> by_id_;  // keys point into devices_
};

}  // namespace fleet::server
