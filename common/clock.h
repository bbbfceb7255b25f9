// The two clocks. MonoTime is for intervals and deadlines, absl::Time for what people and messages see; they do not
// convert into each other. Only clock.cc asks the system; everything else is handed a `Now`, one per loop turn.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace fleet {

// A point on the monotonic clock, in nanoseconds from an arbitrary start. Cheap to copy and compare.
class MonoTime {
 public:
  constexpr MonoTime() = default;  // the start of the clock
  static constexpr MonoTime FromNanos(int64_t nanos) {
    MonoTime t;
    t.nanos_ = nanos;
    return t;
  }
  static constexpr MonoTime Max() { return FromNanos(std::numeric_limits<int64_t>::max()); }  // never

  constexpr int64_t nanos() const { return nanos_; }
  constexpr int64_t millis() const { return nanos_ / 1'000'000; }

  friend constexpr auto operator<=>(MonoTime a, MonoTime b) = default;
  friend absl::Duration operator-(MonoTime a, MonoTime b) { return absl::Nanoseconds(a.nanos_ - b.nanos_); }
  friend MonoTime operator+(MonoTime t, absl::Duration d) { return FromNanos(t.nanos_ + absl::ToInt64Nanoseconds(d)); }
  friend MonoTime operator-(MonoTime t, absl::Duration d) { return FromNanos(t.nanos_ - absl::ToInt64Nanoseconds(d)); }

 private:
  int64_t nanos_ = 0;
};

// Both clocks at one moment.
struct Now {
  MonoTime mono;
  absl::Time wall;
  int64_t unix_ms() const { return absl::ToUnixMillis(wall); }
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Now Read() const = 0;  // any thread
};

// CLOCK_BOOTTIME, which goes on while the machine sleeps and over the processes of one boot, and CLOCK_REALTIME.
class SystemClock : public Clock {
 public:
  Now Read() const override;
};

}  // namespace fleet
