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
};
struct CommandReportEvent {
  absl::string_view device;
  const v1::CommandReport* report;
};
using Event = std::variant<HeartbeatEvent, StateEvent, StatusEvent, CommandReportEvent>;

}  // namespace fleet::server
