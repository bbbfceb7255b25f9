// What the benchmarks that measure times share.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace fleet {

using SteadyClock = std::chrono::steady_clock;

inline double MillisSince(SteadyClock::time_point began) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - began).count();
}

inline double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

// Two members of a JSON object, in milliseconds.
inline std::string Summary(const std::string& name, std::vector<double>& values) {
  return absl::StrCat("\"", name, "_p50_ms\": ", Percentile(values, 0.5), ", \"", name,
                      "_p99_ms\": ", Percentile(values, 0.99));
}

}  // namespace fleet
