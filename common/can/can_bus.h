// One CAN bus, as everything else sees it. Implemented by SocketCanBus, SlcanBus and ReplayBus, and for tests by
// MemoryCanBus; all pass can_bus_contract_test.cc as far as they can do what it asks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"

namespace fleet {

inline constexpr char kNotOpenedYet[] = "it has not been opened yet";  // the problem of every bus at first

// Since the bus was opened. Frames are counted where they are lost, and only there.
struct CanBusReport {
  bool up = false;
  std::string problem;        // while it is not up: why, for people
  uint64_t error_frames = 0;  // told by the controller
  uint64_t bus_off = 0;       // times that the controller left the bus
  uint64_t lost = 0;          // frames, before we read them: full buffers of kernel or adapter
  uint64_t malformed = 0;     // what came and was no frame

  bool operator==(const CanBusReport&) const = default;
};

// A bus that is not there, or goes away, is a state and no end: it is tried again inside Read, at pauses of its own.
//
// One thread owns it; only Wake may be called by others.
class CanBus {
 public:
  static constexpr size_t kMaxRead = 512;  // frames at once

  virtual ~CanBus() = default;

  // Waits until there is something to read, the bus comes or goes, somebody calls Wake, or `timeout` is over. Appends
  // what is there, in order, at most kMaxRead valid frames; error frames among them with kCanError.
  virtual void Read(absl::Duration timeout, std::vector<CanFrame>& out) = 0;

  // Never waits longer than 20 ms. `frame` is valid. OK: the driver has it. kUnavailable: the bus is down or its buffer
  // stays full; kInvalidArgument: this bus cannot carry such a frame; kFailedPrecondition: listen only, or a replay.
  virtual absl::Status Write(const CanFrame& frame) = 0;

  virtual void Wake() = 0;  // any thread

  virtual CanBusReport report() const = 0;
};

}  // namespace fleet
