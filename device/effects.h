// What the agent wants done in the world. Appended to by the agent, carried out and cleared by its owner.
#pragma once

#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/mqtt_link.h"
#include "device/can/can_effects.h"
#include "device/modbus/modbus_effects.h"
#include "device/segment_order.h"
#include "device/spool.h"

namespace fleet::device {

struct SegmentStarted {
  SegmentOrder order;
};
// Ended by the agent, not by the controller: replaced, or its hold is over.
struct SegmentStopped {
  CommandId command{};
  EntityId entity{};
};
using ControllerEvent = std::variant<SegmentStarted, SegmentStopped>;

struct Effects {
  std::vector<Publication> publish;          // in this order
  std::vector<ControllerEvent> controllers;  // for those who drive external entities
  SpoolWork spool;                           // for the disk; its number is set by whoever hands it on
  CanEffects can;                            // the agent takes all but the writes, which are for the buses
  ModbusEffects modbus;                      // likewise, all but the starts

  void Clear() {
    publish.clear();
    controllers.clear();
    if (!spool.empty()) spool = {};  // it is mostly, and big
    can.Clear();
    modbus.Clear();
  }
};

}  // namespace fleet::device
