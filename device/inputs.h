// What the world tells the agent.
#pragma once

#include <string>
#include <variant>

#include "common/ids.h"
#include "common/mqtt_link.h"
#include "device/pose.h"

namespace fleet::device {

// A controller says where an entity is.
struct PoseFed {
  EntityId entity{};
  Pose pose;
};
// A controller, or a driver of one's own, says how a segment ended.
struct SegmentEnded {
  CommandId command{};
  bool done = true;    // false: failed
  std::string detail;  // for people
};
// Whether any controller listens for segments now.
struct ControllersChanged {
  bool listening = false;
};
// The link did not take this publication.
struct PublishRefused {
  Publication publication;
};

using Input = std::variant<LinkUp, LinkDown, Arrived, PoseFed, SegmentEnded, ControllersChanged, PublishRefused>;

}  // namespace fleet::device
