// What the agent wants done in the world. Appended to by the agent, carried out and cleared by its owner.
#pragma once

#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/mqtt_link.h"
#include "device/segment_order.h"

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

  void Clear() {
    publish.clear();
    controllers.clear();
  }
};

}  // namespace fleet::device
