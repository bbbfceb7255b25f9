// The durable streams as the HTTP API shows them (api.proto). Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "fleet/v1/api.pb.h"
#include "fleet/v1/to_server.pb.h"
#include "server/streams.h"

namespace fleet::server {

// "fail_safe_on", "spool_full", "event", ... as people and JSON see them; the number when it is none of ours.
std::string WordOf(v1::EventKind kind);
std::string WordOf(v1::DropReason reason);
std::string WordOf(v1::Stream stream);

// `streams`: nullptr when the device never had any.
v1::LedgerView LedgerOf(absl::string_view device_id, const DeviceStreams* streams);

}  // namespace fleet::server
