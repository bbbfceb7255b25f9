// Those who watch the live stream, each with a bounded queue of its own: a slow reader loses events and is told how
// many, and holds up nobody.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/http_server.h"
#include "common/mutex.h"
#include "server/changes.h"
#include "server/fleet_state.h"

namespace fleet::server {

class Watchers {
 public:
  static constexpr size_t kMaxQueued = 4096;  // events per reader

  // Loop thread. Turns the rows of one turn into events; costs nothing while nobody watches.
  void Publish(const RowBatch& rows, const FleetState& state, Now now);
  // Any thread.
  std::unique_ptr<EventSource> Watch();
  void Close();  // ends all streams
  size_t count() const;

 private:
  class Reader;
  struct Queue;
  void Send(const std::vector<EventSource::Item>& events);

  mutable Mutex mu_;
  std::vector<std::weak_ptr<Queue>> queues_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fleet::server
