// Where the entities are, all in one message.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "device/effects.h"
#include "device/entity_driver.h"
#include "device/schedule.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Makes one StateReport per period with every entity whose pose is known, numbered 1, 2, 3, ... within the epoch apart
// from the heartbeats. With no pose known there is nothing to say and no number is used. Loop thread only.
class EntityReporter {
 public:
  EntityReporter(const DeviceId& device, uint32_t epoch, Schedule schedule);

  void Tick(const std::vector<DrivenEntity>& entities, Now now, Effects& effects) {
    if (schedule_.Take(now.mono)) Report(entities, now, effects);
  }
  // Skips what became due while nobody could hear it.
  void Resume(MonoTime now) { schedule_.Take(now); }

  MonoTime NextDue() const { return schedule_.next(); }
  uint32_t sent() const { return message_.seq(); }

 private:
  void Report(const std::vector<DrivenEntity>& entities, Now now, Effects& effects);

  Schedule schedule_;
  const std::string topic_;
  v1::StateReport message_;  // used again, so that a report allocates nothing but its publication
};

}  // namespace fleet::device
