// The server's metrics; docs/metrics.md says what each means and what to do when it moves.
#pragma once

#include <string>

#include "server/fleet_state.h"
#include "server/ingest.h"
#include "server/quarantine.h"
#include "server/store_writer.h"
#include "server/tap_streams.h"

namespace fleet::server {

struct MetricsSources {
  const FleetState& state;
  const Ingest& ingest;
  const Quarantine& quarantine;
  StoreWriter::Health store;
  uint64_t inbound_dropped = 0;  // messages, because the loop was too slow
  uint64_t inbound_dropped_of_taps = 0;
  uint64_t publish_refused = 0;  // live publications, because the link was down or full
  size_t watchers = 0;
  TapStreams::Counters taps;
  size_t open_taps = 0;
};

std::string MetricsText(const MetricsSources& sources);

}  // namespace fleet::server
