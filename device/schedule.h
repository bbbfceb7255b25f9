// Deadlines on a fixed grid.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet::device {

// Due at first, first + period, first + 2 periods, ... A late turn takes one deadline and skips the others that it
// missed, so the schedule neither drifts nor makes up for a stall with a burst. A period of zero is never due.
class Schedule {
 public:
  Schedule(MonoTime first, absl::Duration period)
      : period_nanos_(absl::ToInt64Nanoseconds(period)), next_(period_nanos_ > 0 ? first : MonoTime::Max()) {}

  // True once per deadline that has come.
  bool Take(MonoTime now) {
    if (now < next_) return false;
    const int64_t late_nanos = now.nanos() - next_.nanos();
    const int64_t missed = late_nanos < period_nanos_ ? 0 : late_nanos / period_nanos_;
    next_ = MonoTime::FromNanos(next_.nanos() + (missed + 1) * period_nanos_);
    return true;
  }
  MonoTime next() const { return next_; }

 private:
  const int64_t period_nanos_;
  MonoTime next_;
};

}  // namespace fleet::device
