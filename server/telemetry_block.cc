#include "server/telemetry_block.h"

#include <algorithm>

namespace fleet::server {

absl::Status ParseBlock(absl::string_view data, v1::TelemetryBlock& out) {
  if (!out.ParseFromArray(data.data(), static_cast<int>(data.size()))) return absl::DataLossError("does not parse");
  const int samples = out.value_size();
  const auto names = static_cast<uint32_t>(out.signals_size());
  const bool fits = out.signal_size() == samples && out.after_ms_size() == samples &&
                    std::ranges::all_of(out.signal(), [names](uint32_t signal) { return signal < names; });
  return fits ? absl::OkStatus() : absl::DataLossError("has columns that do not fit each other");
}

}  // namespace fleet::server
