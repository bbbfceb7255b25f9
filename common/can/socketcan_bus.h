// A CAN interface of Linux (SocketCAN), such as can0 or vcan0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/can/can_bus.h"

namespace fleet {

struct SocketCanOptions {
  std::string interface;     // can0
  bool listen_only = false;  // Write is refused; whether the controller acknowledges frames is up to `ip link`
};

// kInvalidArgument: no interface can have this name. An interface that does not exist, or a kernel without CAN, is a
// state of the bus.
absl::StatusOr<std::unique_ptr<CanBus>> OpenSocketCanBus(const SocketCanOptions& options);

}  // namespace fleet
