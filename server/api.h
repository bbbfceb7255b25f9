// The HTTP API of docs/protocol.md section 8. Handlers run on HTTP threads: they ask the loop for what is now, the
// store for what was.
#pragma once

#include <functional>
#include <memory>

#include "common/event_loop.h"
#include "common/http_server.h"
#include "server/command_waiters.h"
#include "server/fleet_state.h"
#include "server/store_reader.h"
#include "server/tap_streams.h"
#include "server/watchers.h"

namespace fleet::server {

class CommandRequests;

// What the handlers need of the program. All outlive the HTTP server.
struct ApiParts {
  EventLoop& loop;
  const Clock& clock;
  FleetState& state;        // only inside loop.Post
  Changes& changes;         // only inside loop.Post
  CommandWaiters& waiters;  // only inside loop.Post
  StoreReader& reader;
  Watchers& watchers;
  TapStreams& taps;                      // only inside loop.Post
  std::function<v1::Health()> health;    // loop thread
  std::function<std::string()> metrics;  // loop thread
  int max_waiting = 128;                 // requests that wait for a command, each on an HTTP thread
};

void AddRoutes(HttpServer& http, const ApiParts& parts);  // all of them
// api_commands.cc
void AddCommandRoutes(HttpServer& http, const ApiParts& parts, const std::shared_ptr<CommandRequests>& requests);
// api_can.cc
void AddCanRoutes(HttpServer& http, const ApiParts& parts, const std::shared_ptr<CommandRequests>& requests);
// api_modbus.cc
void AddModbusRoutes(HttpServer& http, const ApiParts& parts, const std::shared_ptr<CommandRequests>& requests);
void AddStreamRoutes(HttpServer& http, const ApiParts& parts);     // api_streams.cc
void AddTelemetryRoutes(HttpServer& http, const ApiParts& parts);  // api_telemetry.cc

}  // namespace fleet::server
