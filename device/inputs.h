// What the world tells the agent.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "common/can/can_port.h"
#include "common/ids.h"
#include "common/mqtt_link.h"
#include "device/modbus/modbus_job.h"
#include "device/pose.h"
#include "device/publish_request.h"
#include "device/sample.h"
#include "device/spool.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// A controller says where an entity is.
struct PoseFed {
  EntityId entity{};
  Pose pose;
};
// A controller, or a driver of one's own, says how a segment ended.
struct SegmentEnded {
  CommandId command{};
  bool done = true;      // false: failed
  std::string detail;    // for people
  bool expired = false;  // it never began: its time to live was over before a controller could have it
};
// Whether any controller listens for segments now.
struct ControllersChanged {
  bool listening = false;
};
// The link did not take this publication.
struct PublishRefused {
  Publication publication;
};

// What a CAN bus has for us.
struct CanHeard {
  size_t bus = 0;                 // of the plan
  const CanNews* news = nullptr;  // good during the call
};

// A program on the device tells something: these go into the durable streams.
struct SamplesTaken {
  std::vector<Sample> samples;
};
struct EventTold {
  v1::Event event;
};
// It wants the current values of all signals published, and a summary of them. Values of its own are a PublishRequest.
struct ValuesAsked {};

// What a Modbus bus has done is a ModbusDone.
using Input = std::variant<LinkUp, LinkDown, Arrived, PoseFed, SegmentEnded, ControllersChanged, PublishRefused,
                           SpoolDone, CanHeard, ModbusDone, SamplesTaken, EventTold, PublishRequest, ValuesAsked>;

}  // namespace fleet::device
