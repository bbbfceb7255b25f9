// A log of candump as a bus: what was recorded happens again.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/can/can_bus.h"
#include "common/clock.h"

namespace fleet {

struct ReplayOptions {
  std::string path;  // lines as ParseCandumpLine reads them, of all buses in it; other lines than "(..." are comments
  double speed = 1;  // 0.001 to 1000 times as fast as it was; 0: kMaxRead frames with every Read
  bool loop = false;
  const Clock* clock = nullptr;  // outlives the bus; null: the clocks of the system
};

// Frames have the times of now: the first one that of the first Read, the others behind it as in the log, divided by
// `speed`; at speed 0 that of their Read. The log's time going back counts as no time, a step over an hour as an hour.
// The next round of a loop begins a millisecond after the last frame.
//
// Lines that cannot be read are skipped and counted as malformed, in the first round of a loop; the first of them is
// logged, and named in report().problem once the log is over. Then, without `loop`, the bus is not up any more.
//
// kNotFound, kPermissionDenied: the file cannot be opened; kInvalidArgument: the speed, no regular file, or no frame in
// its first 1000 lines.
absl::StatusOr<std::unique_ptr<CanBus>> OpenReplayBus(const ReplayOptions& options);

}  // namespace fleet
