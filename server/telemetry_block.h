// Reads what a row of table `telemetry` holds.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fleet/v1/storage.pb.h"
#include "server/sample_times.h"

namespace fleet::server {

// kDataLoss: no TelemetryBlock, or its columns do not fit each other.
absl::Status ParseBlock(absl::string_view data, v1::TelemetryBlock& out);

// Calls visit(index, signal number, unix ms, value) for each sample of a block that was parsed well, in the order in
// which they were taken.
template <typename Visitor>
void ForEachSample(const v1::TelemetryBlock& block, int64_t first_unix_ms, Visitor visit) {
  SampleTimes times(static_cast<uint64_t>(first_unix_ms));
  for (int i = 0; i < block.value_size(); ++i) {
    visit(i, static_cast<int64_t>(block.signals(static_cast<int>(block.signal(i)))), times.Next(block.after_ms(i)),
          block.value(i));
  }
}

}  // namespace fleet::server
