// What the loop hands to the store: plain rows of the tables in schema.sql.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "fleet/v1/common.pb.h"
#include "server/history_block.h"
#include "server/liveness.h"
#include "server/sequence_tracker.h"

namespace fleet::server {

struct EntityRow {
  EntityId id{};
  int32_t x_mm = 0;
  int32_t y_mm = 0;
  int32_t angle_mdeg = 0;
  int32_t vx_mm_s = 0;
  int32_t vy_mm_s = 0;
  int64_t received_unix_ms = 0;
};

// One device as it is now, with what came from it since its last row.
struct DeviceRow {
  int64_t device_row;  // Device::row
  DeviceId id;
  uint32_t epoch = 0;
  uint64_t started_unix_ms = 0;
  std::string version;
  LivenessStatus liveness;
  int64_t state_since_unix_ms = 0;
  int64_t last_seen_unix_ms = 0;  // 0: never
  SequenceTracker::Saved heartbeats;
  SequenceTracker::Saved states;
  std::vector<EntityRow> entities;
  HistoryBlock::Row block;  // count 0: nothing came
};

struct LivenessRow {
  int64_t device_row;
  LivenessStatus status;
  int64_t at_unix_ms;
};

struct CommandRow {
  CommandId id{};
  int64_t device_row;
  v1::Segment segment;
  int64_t issued_unix_ms = 0;
  int64_t ttl_ms = 0;
};

struct CommandStepRow {
  CommandId id{};
  uint32_t number = 0;  // 0, 1, 2, ... within the command
  v1::CommandState state = v1::COMMAND_STATE_UNSPECIFIED;
  std::string reason;
  std::string detail;
  int64_t at_unix_ms = 0;
  int64_t since_issue_ms = 0;  // on the server's monotonic clock
};

// What one or more turns of the loop changed. Stored in one transaction.
struct RowBatch {
  uint64_t number = 0;  // 1, 2, 3, ...: comes back when it is committed
  std::vector<DeviceRow> devices;
  std::vector<LivenessRow> liveness;
  std::vector<CommandRow> commands;
  std::vector<CommandStepRow> steps;

  bool empty() const { return devices.empty() && liveness.empty() && commands.empty() && steps.empty(); }
};

}  // namespace fleet::server
