// What the controllers on this device are told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/http_server.h"
#include "common/ids.h"
#include "common/mutex.h"
#include "device/effects.h"

namespace fleet::device {

// Hands segments to every reader of GET /segments. A reader begins with what runs now, so one that lost its connection
// misses nothing. One that lets more than kMaxWaiting events wait is cut off, and may come again. Any thread.
class ControllerFeed {
 public:
  static constexpr size_t kMaxWaiting = 256;

  // `on_change` is called when the first reader comes and when the last one goes, outside the lock.
  ControllerFeed(const Clock& clock, std::function<void()> on_change)
      : clock_(clock), on_change_(std::move(on_change)) {}

  void Publish(const ControllerEvent& event);
  // The feed outlives it.
  std::unique_ptr<EventSource> Subscribe();
  bool listening() const;

  // True once for each command that runs: its controller says that it has ended.
  bool Finish(CommandId command);

 private:
  class Reader;

  void Leave(Reader& reader);
  EventSource::Item ItemOf(const SegmentOrder& order) const;

  const Clock& clock_;
  const std::function<void()> on_change_;
  mutable Mutex mu_;
  CondVar changed_;
  std::vector<Reader*> readers_ ABSL_GUARDED_BY(mu_);
  std::map<EntityId, SegmentOrder> running_ ABSL_GUARDED_BY(mu_);  // at most one per entity
};

}  // namespace fleet::device
