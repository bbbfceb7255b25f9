// What the Modbus side of the agent wants done. Appended to by it; the agent takes all but the jobs, which are for the
// buses.
#pragma once

#include <cstddef>
#include <vector>

#include "device/modbus/modbus_job.h"
#include "device/signals/signal_effects.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// For the bus with this index in the plan.
struct ModbusStart {
  size_t bus = 0;
  ModbusJob job;
};

// Live are plain texts and gateway_state.
struct ModbusEffects : SignalEffects {
  std::vector<Publication> responses;  // to requests; only while the link is up
  std::vector<v1::Event> events;       // for the durable stream; without a time they get now
  std::vector<ModbusStart> starts;
  std::vector<v1::CommandUpdate> updates;  // steps of commands

  void Clear() {
    publish.clear();
    samples.clear();
    responses.clear();
    events.clear();
    starts.clear();
    updates.clear();
  }
};

}  // namespace fleet::device
