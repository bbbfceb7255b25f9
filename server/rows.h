// What the loop hands to the store: plain rows of the tables in schema.sql.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "fleet/v1/common.pb.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"
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

using CommandBody = std::variant<v1::Segment, v1::Cancel, v1::CanSend, v1::CanTap, v1::ClearDtcs, v1::ModbusCall>;

struct CommandRow {
  CommandId id{};
  int64_t device_row;
  CommandBody body;
  int64_t issued_unix_ms = 0;  // on the server's steady clock
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

struct EventRow {
  int64_t device_row;
  uint32_t epoch = 0;
  uint64_t seq = 0;
  v1::Event event;
  int64_t received_unix_ms = 0;
  bool backlog = false;
  bool disk_lost = false;  // no event, but in its place among them: from here on the device counts its lives anew
};

// Consecutive samples as they came.
struct TelemetryRow {
  int64_t device_row;
  uint32_t epoch = 0;
  uint64_t first_seq = 0;
  uint64_t samples = 0;
  int64_t first_unix_ms = 0;  // by the device's clock; of the earliest and the latest sample
  int64_t last_unix_ms = 0;
  int64_t received_unix_ms = 0;
  bool backlog = false;
  std::string batch;  // a serialised TelemetryBatch of exactly these samples
};

// An epoch of a stream that is not settled, as it is now. `settled`: it no longer is one, forget it.
struct StreamAccountRow {
  int64_t device_row;
  v1::Stream stream = v1::STREAM_UNSPECIFIED;
  uint32_t epoch = 0;
  uint64_t made = 0;
  uint64_t duplicate = 0;
  uint64_t waiting = 0;
  int64_t reported_unix_ms = 0;  // 0: not yet
  std::string ranges;            // a serialised StreamRanges
  bool settled = false;
};

// The settled epochs of a stream, summed up. They have no StreamAccountRow any more.
struct StreamTotalsRow {
  int64_t device_row;
  v1::Stream stream = v1::STREAM_UNSPECIFIED;
  uint64_t settled_below = 0;  // epochs below it are settled
  uint64_t sent = 0;
  uint64_t stored = 0;
  uint64_t duplicate = 0;
  std::map<v1::DropReason, uint64_t> dropped;
};

// A message that could not be understood.
struct QuarantineRow {
  int64_t received_unix_ms = 0;
  std::string topic;   // as it came, cut to 256 bytes
  std::string reason;  // oversized, topic, parse, version, meaning
  std::string detail;
  std::string payload;  // the first 4096 bytes
  uint64_t payload_bytes = 0;
};

// What one or more turns of the loop changed. Stored in one transaction.
struct RowBatch {
  uint64_t number = 0;  // 1, 2, 3, ...: comes back when it is committed
  std::vector<DeviceRow> devices;
  std::vector<LivenessRow> liveness;
  std::vector<CommandRow> commands;
  std::vector<CommandStepRow> steps;
  std::vector<CommandId> given_up;  // still unknown, and nobody asks any more: ended
  std::vector<EventRow> events;
  std::vector<TelemetryRow> telemetry;
  std::vector<StreamAccountRow> stream_accounts;
  std::vector<StreamTotalsRow> stream_totals;
  std::vector<QuarantineRow> quarantine;

  size_t size() const;  // rows
  bool empty() const { return size() == 0; }
  // Takes the rows of `other`, which is then empty, behind its own. The number stays.
  void Append(RowBatch& other);
};

}  // namespace fleet::server
