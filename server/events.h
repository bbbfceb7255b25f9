// What ingest understood from one message. An event points into the message and into ingest's own memory: it is good
// until the next message is read.
#pragma once

#include <variant>

#include "absl/strings/string_view.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::server {

struct HeartbeatEvent {
  absl::string_view device;  // a valid device id
  const v1::Heartbeat* heartbeat;
};
struct StateEvent {
  absl::string_view device;
  const v1::StateReport* report;
  absl::string_view bytes;  // as received, for the history
};
struct StatusEvent {
  absl::string_view device;
  const v1::Status* status;
  bool retained = false;  // the broker had it stored: perhaps since long ago
};
struct CommandReportEvent {
  absl::string_view device;
  const v1::CommandReport* report;
};
struct EventBatchEvent {
  absl::string_view device;
  const v1::EventBatch* batch;
};
struct TelemetryEvent {
  absl::string_view device;
  const v1::TelemetryBatch* batch;
};
struct LedgerEvent {
  absl::string_view device;
  const v1::LedgerReport* report;
};
// Whether such a tap is open, on this device and bus, TapStreams knows.
struct CanBatchEvent {
  absl::string_view device;
  absl::string_view bus;  // a valid name
  const v1::CanBatch* batch;
  absl::string_view bytes;  // as received, to be made into text elsewhere
};
// What a gateway tells other tools; nobody looks into it here.
struct GatewayStateEvent {
  absl::string_view device;
};
using Event = std::variant<HeartbeatEvent, StateEvent, StatusEvent, CommandReportEvent, EventBatchEvent, TelemetryEvent,
                           LedgerEvent, CanBatchEvent, GatewayStateEvent>;

}  // namespace fleet::server
