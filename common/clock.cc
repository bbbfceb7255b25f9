#include "common/clock.h"

#include <time.h>

namespace fleet {
namespace {

int64_t ReadNanos(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

Now SystemClock::Read() const {
  return {.mono = MonoTime::FromNanos(ReadNanos(CLOCK_BOOTTIME)),
          .wall = absl::FromUnixNanos(ReadNanos(CLOCK_REALTIME))};
}

}  // namespace fleet
