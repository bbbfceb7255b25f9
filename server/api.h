// The HTTP API of docs/protocol.md section 8. Handlers run on HTTP threads: they ask the loop for what is now, the
// store for what was.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "common/event_loop.h"
#include "common/http_server.h"
#include "common/mutex.h"
#include "server/fleet_state.h"
#include "server/store_reader.h"
#include "server/watchers.h"

namespace fleet::server {

// Rings when any command took a step. Any thread.
class StepBell {
 public:
  void Ring();
  uint64_t rings() const;
  // Returns when it has rung more than `rings` times, or at the timeout.
  void Wait(uint64_t rings, absl::Duration timeout);

 private:
  mutable Mutex mu_;
  CondVar cv_;
  uint64_t rings_ ABSL_GUARDED_BY(mu_) = 0;
};

// What the handlers need of the program. All outlive the HTTP server.
struct ApiParts {
  EventLoop& loop;
  const Clock& clock;
  FleetState& state;  // only inside loop.Post
  Changes& changes;   // only inside loop.Post
  StoreReader& reader;
  Watchers& watchers;
  StepBell& step_bell;
  std::function<v1::Health()> health;    // loop thread
  std::function<std::string()> metrics;  // loop thread
  int max_long_polls = 32;
};

void AddRoutes(HttpServer& http, const ApiParts& parts);

}  // namespace fleet::server
