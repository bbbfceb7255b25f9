// What the parts that listen to CAN buses want done. Appended to by them; CanHub hands it to the agent.
#pragma once

#include <cstdint>
#include <vector>

#include "common/can/can_frame.h"
#include "common/clock.h"
#include "device/signals/signal_effects.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Frames for a bus, in order; none goes out later than `not_after`. `token`: the command that asks and wants to know
// what became of them; 0: nobody.
struct CanWrite {
  size_t bus = 0;
  std::vector<CanFrame> frames;
  uint64_t token = 0;
  MonoTime not_after = MonoTime::Max();
};

// Live are plain text, tap batches and the compatible tunnel.
struct CanEffects : SignalEffects {
  std::vector<v1::Event> events;  // for the durable stream; without a time they get now
  std::vector<CanWrite> writes;
  std::vector<v1::CommandUpdate> updates;  // steps of commands

  void Clear() {
    publish.clear();
    samples.clear();
    events.clear();
    writes.clear();
    updates.clear();
  }
};

}  // namespace fleet::device
