// What the controllers on this device are told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/http_server.h"
#include "common/ids.h"
#include "common/mutex.h"
#include "device/effects.h"

namespace fleet::device {

// Hands segments to every reader of GET /segments. A reader begins with what runs now, so one that lost its connection
// misses nothing. One that lets more than kMaxWaiting events wait is cut off, and may come again.
//
// A segment is given to a reader only while its time to live lasts, judged at that moment. One that was in time for no
// reader is reported as expired, for it must not begin any more. One that another reader had in time is given with
// nothing left: a controller that was restarted meanwhile would not know that it owes an answer. Any thread.
class ControllerFeed {
 public:
  static constexpr size_t kMaxWaiting = 256;

  using OnExpired = std::function<void(CommandId)>;

  // `on_change` is called when the first reader comes and when the last one goes, `on_expired` once for each segment
  // that no reader had in time; both outside the lock.
  ControllerFeed(const Clock& clock, std::function<void()> on_change, OnExpired on_expired)
      : clock_(clock), on_change_(std::move(on_change)), on_expired_(std::move(on_expired)) {}

  void Publish(const ControllerEvent& event);
  // The feed outlives it.
  std::unique_ptr<EventSource> Subscribe();
  bool listening() const;

  // True once for each command that runs: its controller says that it has ended.
  bool Finish(CommandId command);

 private:
  class Reader;
  struct Running {
    SegmentOrder order;
    bool is_given = false;  // to a reader, in time
  };

  void Leave(Reader& reader);
  // What a reader gets for `event` now; nullopt: nothing any more. Adds to `expired` what nobody had in time.
  std::optional<EventSource::Item> Give(const ControllerEvent& event, std::vector<CommandId>& expired)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static EventSource::Item ItemOf(const SegmentOrder& order, absl::Duration expires_in);

  const Clock& clock_;
  const std::function<void()> on_change_;
  const OnExpired on_expired_;
  mutable Mutex mu_;
  CondVar changed_;
  std::vector<Reader*> readers_ ABSL_GUARDED_BY(mu_);
  std::map<EntityId, Running> running_ ABSL_GUARDED_BY(mu_);  // at most one per entity
};

}  // namespace fleet::device
