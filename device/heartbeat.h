// The sign of life.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/effects.h"
#include "device/schedule.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Makes heartbeats numbered 1, 2, 3, ... within the epoch; only those that were published count (docs/protocol.md
// section 4). Loop thread only.
class Heartbeat {
 public:
  Heartbeat(const DeviceId& device, uint32_t epoch, Schedule schedule);

  void Tick(Now now, Effects& effects) {
    if (schedule_.Take(now.mono)) Send(now, effects);
  }
  // Beats at once, whatever the schedule, which goes on from `now`.
  void Resume(Now now, Effects& effects);

  MonoTime NextDue() const { return schedule_.next(); }
  uint32_t sent() const { return message_.seq(); }

 private:
  void Send(Now now, Effects& effects);

  const std::string topic_;
  Schedule schedule_;
  v1::Heartbeat message_;
};

}  // namespace fleet::device
