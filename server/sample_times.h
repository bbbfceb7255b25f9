// The times of samples that are told as steps, each since the one before.
#pragma once

#include <algorithm>
#include <cstdint>

#include "server/ingest.h"

namespace fleet::server {

// Times as they come may be anything, so sums of them wrap like unsigned numbers do; what comes out is within 1970 and
// the year 9999.
class SampleTimes {
 public:
  explicit SampleTimes(uint64_t base_unix_ms) : at_(base_unix_ms) {}

  int64_t Next(int64_t after_ms) {
    at_ += static_cast<uint64_t>(after_ms);
    return std::clamp<int64_t>(static_cast<int64_t>(at_), 0, kMaxUnixMs);
  }

 private:
  uint64_t at_;
};

}  // namespace fleet::server
