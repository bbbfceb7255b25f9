#include "common/interruption.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "common/clock.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr absl::Duration kLongest = absl::Hours(24);  // so that no sum of times overflows

}  // namespace

Interruption::Interruption() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  FLEET_CHECK(fd_ >= 0) << "no eventfd";
}

Interruption::~Interruption() {
  close(fd_);
}

void Interruption::Raise() {
  raised_ = true;
  const uint64_t one = 1;
  (void)!write(fd_, &one, sizeof(one));  // fails only when it has been raised very often
}

Interruption::Woken Interruption::Wait(int fd, short events, absl::Duration timeout) const {
  const SystemClock clock;
  const MonoTime end = clock.Read().mono + std::min(timeout, kLongest);
  while (true) {
    pollfd fds[2] = {{.fd = fd_, .events = POLLIN, .revents = 0}, {.fd = fd, .events = events, .revents = 0}};
    const timespec left = absl::ToTimespec(std::max(end - clock.Read().mono, absl::ZeroDuration()));
    const int ready = ppoll(fds, 2, &left, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Woken::kTimeout;
    return fds[0].revents != 0 ? Woken::kRaised : Woken::kReady;
  }
}

}  // namespace fleet
