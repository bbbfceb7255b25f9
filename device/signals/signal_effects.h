// What comes of signals: live messages, and samples for the durable stream. Appended to; the agent takes both.
#pragma once

#include <vector>

#include "common/mqtt_link.h"
#include "device/sample.h"

namespace fleet::device {

struct SignalEffects {
  std::vector<Publication> publish;  // live, dropped when the link is down
  std::vector<Sample> samples;       // for the durable stream

  void Clear() {
    publish.clear();
    samples.clear();
  }
};

}  // namespace fleet::device
