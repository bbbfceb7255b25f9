// What the parts that listen to CAN buses want done. Appended to by them; CanHub hands it to the agent.
#pragma once

#include <cstdint>
#include <vector>

#include "common/can/can_frame.h"
#include "common/clock.h"
#include "common/mqtt_link.h"
#include "device/sample.h"
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

struct CanEffects {
  std::vector<Publication> publish;  // plain text, tap batches, compatible tunnel: live, dropped when the link is down
  std::vector<Sample> samples;       // for the durable stream
  std::vector<v1::Event> events;     // likewise; without a time they get now
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
