// A CAN bus with a thread of its own, between the bus and a loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/can/can_bus.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fleet {

// Frames for the bus. All or the first ones are sent; what became of them comes back with `token`.
struct CanOrder {
  std::vector<CanFrame> frames;
  uint64_t token = 0;
  MonoTime not_after = MonoTime::Max();  // what has not gone out by then does not: kDeadlineExceeded
};
struct CanOutcome {
  CanOrder order;
  size_t sent = 0;      // the first so many were taken by the driver, with kCanSent and their time
  absl::Status status;  // not ok: why not all
};

struct CanNews {
  std::vector<CanFrame> frames;      // oldest first
  std::vector<CanOutcome> outcomes;  // oldest first
  CanBusReport report;               // as of now
  uint64_t dropped = 0;              // frames that found the queue full, since the beginning

  void Clear() {
    frames.clear();
    outcomes.clear();
  }
};

// Reads the bus, gathers for kGather what comes close together, and keeps it for the loop; sends what the loop orders.
// Bounds: kMaxFrames read and not taken, of which the newest are dropped and counted; kMaxOrders of which the outcome
// was not taken yet.
class CanPort {
 public:
  static constexpr size_t kMaxFrames = 16384;
  static constexpr size_t kMaxOrders = 256;
  static constexpr absl::Duration kGather = absl::Milliseconds(2);

  // `on_news` runs on the port's thread when there is something to take after there was nothing.
  CanPort(std::string name, std::unique_ptr<CanBus> bus, std::function<void()> on_news);
  ~CanPort();  // ends the thread; what was ordered and not sent is not sent

  const std::string& name() const { return name_; }

  // Any thread; never blocks. False: too many wait, nothing was taken.
  bool Send(CanOrder order);
  // Swaps what there is into `news`, which is cleared first. True: there is any, or the report changed.
  bool Take(CanNews& news);

 private:
  void Run();
  std::optional<CanOutcome> SendNext();
  void Gather();
  void Keep(const std::vector<CanFrame>& frames, std::optional<CanOutcome> outcome);

  const std::string name_;
  const std::unique_ptr<CanBus> bus_;  // the port's thread
  const std::function<void()> on_news_;
  const SystemClock clock_{};
  std::optional<CanOutcome> sending_;  // the port's thread
  mutable Mutex mu_;
  CondVar changed_;
  CanNews news_ ABSL_GUARDED_BY(mu_);
  std::deque<CanOrder> orders_ ABSL_GUARDED_BY(mu_);
  size_t open_orders_ ABSL_GUARDED_BY(mu_) = 0;  // taken by Send, and their outcome not by Take
  bool has_news_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace fleet
