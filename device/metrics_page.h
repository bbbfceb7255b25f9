// The device's metrics; docs/metrics.md says what each means and what to do when it moves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "device/agent.h"
#include "device/local_api.h"

namespace fleet::device {

struct MetricsSources {
  const Agent& agent;
  absl::Duration uptime;
  size_t inbox_waiting = 0;
  uint64_t inbox_dropped = 0;  // because the loop was too slow
  bool spool_works = false;
  LocalApi::Counters api;
};

std::string MetricsText(const MetricsSources& sources);

}  // namespace fleet::device
