// A CAN adapter on a serial line that speaks slcan, such as /dev/ttyACM0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/can/can_bus.h"

namespace fleet {

struct SlcanOptions {
  std::string path;  // of the tty
  uint32_t bitrate = 500'000;
  bool listen_only = false;
};

// kInvalidArgument: slcan does not have this bit rate. An adapter that is not there is a state of the bus; one that is
// plugged in again is opened again. A frame that the adapter refuses after Write was given it comes back from Read as
// an error frame: the controller's buffer for sending is full.
absl::StatusOr<std::unique_ptr<CanBus>> OpenSlcanBus(const SlcanOptions& options);

}  // namespace fleet
