// Frames as Linux has them. Only socketcan_*.cc know linux/can.h.
#pragma once

#include <cstddef>
#include <optional>

#include "common/can/can_frame.h"

struct canfd_frame;

namespace fleet {

// `raw_bytes`: how much the kernel gave, which tells classic frames from FD. nullopt: no frame that can be, such as an
// FD frame of 9 bytes, which virtual interfaces pass on. Without a time.
std::optional<CanFrame> FromSocketCan(const canfd_frame& raw, size_t raw_bytes);

// Fills `raw`; returns how much of it the kernel wants. `frame` is valid.
size_t ToSocketCan(const CanFrame& frame, canfd_frame& raw);

// What an error frame says of the controller.
struct CanControllerNews {
  bool bus_off = false;    // it left the bus
  bool restarted = false;  // it is back
  bool lost = false;       // it had no room for a frame that came
};
CanControllerNews ReadSocketCanError(const CanFrame& frame);

}  // namespace fleet
