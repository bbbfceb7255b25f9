// CAN without hardware: nodes in one process that hear each other, and whatever may happen to a bus.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/can/can_bus.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fleet {

class MemoryCanBus;

struct MemoryCanOptions {
  bool fd = true;
  bool listen_only = false;
};

// Any thread. Outlives the buses that are attached to it.
class MemoryCanNetwork {
 public:
  static constexpr size_t kMaxWaiting = 65536;  // frames that one bus has not read; newer ones are counted as lost

  // What one bus writes is read by all others, with the time of the system.
  std::unique_ptr<CanBus> Attach(MemoryCanOptions options = {});

  // A frame of a node that is nobody's bus, with its own time. Nobody hears it while the network is down.
  void Put(const CanFrame& frame);

  void TakeDown(std::string why);  // all buses: as `ip link set down`
  void BringUp();
  void Fill();   // Write fails from now on with kUnavailable: nobody acknowledges
  void Drain();  // and works again
  // Every controller reports an error of this class, as in linux/can/error.h; 0x40 is bus-off, after which the network
  // is down until BringUp.
  void ReportError(uint32_t error_class);

 private:
  friend class MemoryCanBus;

  void Deliver(const CanFrame& frame, const MemoryCanBus* writer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetUp(bool up, std::string problem) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const SystemClock clock_{};
  Mutex mu_;
  CondVar changed_;
  std::vector<MemoryCanBus*> buses_ ABSL_GUARDED_BY(mu_);
  bool up_ ABSL_GUARDED_BY(mu_) = true;
  bool full_ ABSL_GUARDED_BY(mu_) = false;
  std::string problem_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fleet
