// A clock that stands still until a test moves it.
#pragma once

#include "common/clock.h"

namespace fleet {

class FakeClock : public Clock {
 public:
  Now Read() const override { return now_; }
  operator Now() const { return now_; }  // NOLINT(google-explicit-constructor): `Tick(clock)` reads well in tests
  void Advance(absl::Duration d) {
    now_.mono = now_.mono + d;
    now_.wall += d;
  }
  void JumpWall(absl::Duration d) { now_.wall += d; }

 private:
  Now now_{.mono = MonoTime::FromNanos(1'000'000'000), .wall = absl::FromUnixMillis(1'760'000'000'000)};
};

}  // namespace fleet
