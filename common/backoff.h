// Pauses between attempts: doubling, bounded, jittered so that a fleet does not come back in one instant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace fleet {

class Backoff {
 public:
  Backoff(absl::Duration min, absl::Duration max, uint64_t seed) : min_(min), max_(max), next_(min), random_(seed) {}

  // The pause before the next attempt: between half and the whole of min, 2 min, 4 min, ... max.
  absl::Duration Next() {
    const absl::Duration whole = next_;
    next_ = std::min(next_ * 2, max_);
    return whole * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
  }
  void Reset() { next_ = min_; }

 private:
  const absl::Duration min_;
  const absl::Duration max_;
  absl::Duration next_;
  std::minstd_rand random_;
};

}  // namespace fleet
