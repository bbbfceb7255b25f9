// Reads a bus until something is so.
#pragma once

#include <functional>
#include <vector>

#include "common/can/can_bus.h"
#include "common/clock.h"

namespace fleet {

// Appends what is read to `out`. False: not within a time that is long even for a busy machine.
inline bool ReadUntil(CanBus& bus, std::vector<CanFrame>& out, const std::function<bool()>& done) {
  const MonoTime deadline = SystemClock().Read().mono + absl::Seconds(20);
  while (!done()) {
    if (SystemClock().Read().mono > deadline) return false;
    bus.Read(absl::Milliseconds(5), out);
  }
  return true;
}

}  // namespace fleet
