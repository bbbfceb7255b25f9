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
#include "server/rows.h"
#include "server/sequence_tracker.h"

namespace fleet::server {

struct Entity {
  EntityRow latest;
  MonoTime received;  // restored ones: the start of the clock
};

struct Device {
  Device(const DeviceId& device_id, DeviceIndex device_index, int64_t device_row)
      : id(device_id), index(device_index), row(device_row) {}

  const DeviceId id;
  const DeviceIndex index;  // in the registry of this run
  const int64_t row;        // in the database, for good
  uint32_t epoch = 0;       // 0: no life known yet
  uint64_t started_unix_ms = 0;
  std::string version;

  bool heard = false;         // a heartbeat in this run of the server
  MonoTime last_heartbeat;    // valid when heard
  MonoTime said_online;       // the last Status online
  int64_t clock_skew_ms = 0;  // device minus server at the last heartbeat
  int64_t last_seen_unix_ms = 0;
  int64_t state_since_unix_ms = 0;

  SequenceTracker heartbeats;
  SequenceTracker states;
  std::vector<Entity> entities;  // in the order they were first reported
  HistoryBlock block;
  MonoTime flush_due = MonoTime::Max();  // Max: nothing to write
  std::vector<CommandId> open_commands;  // without an end state

  // Takes over the latest state of each entity. Entities past kMaxEntitiesPerDevice are left out; returns how many.
  int Update(const v1::StateReport& report, Now now);

 private:
  Entity* FindOrAdd(EntityId id, size_t hint);
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
