#include "common/can/polled_can_bus.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr absl::Duration kLongest = absl::Hours(1);  // so that no sum of times overflows

timespec UpTo(absl::Duration timeout) {
  return absl::ToTimespec(std::clamp(timeout, absl::ZeroDuration(), kLongest));
}

}  // namespace

PolledCanBus::PolledCanBus() : wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  report_.problem = kNotOpenedYet;
  FLEET_CHECK(wake_fd_ >= 0) << "no eventfd";
}

PolledCanBus::~PolledCanBus() {
  close(wake_fd_);
}

void PolledCanBus::Read(absl::Duration timeout, std::vector<CanFrame>& out) {
  const size_t before = out.size();
  Now now = Time();
  MonoTime end = now.mono + std::min(timeout, kLongest);
  while (true) {
    const Pause pause = Turn(now, out);
    if (out.size() != before || report_.up != told_up_ || now.mono >= end) break;
    const bool woken = Wait(pause, std::min(end, pause.due) - now.mono);
    now = Time();
    if (woken) end = now.mono;
  }
  told_up_ = report_.up;
}

bool PolledCanBus::Wait(const Pause& pause, absl::Duration timeout) {
  pollfd fds[2] = {{.fd = wake_fd_, .events = POLLIN, .revents = 0},
                   {.fd = pause.fd, .events = pause.events, .revents = 0}};
  const timespec time = UpTo(timeout);
  if (ppoll(fds, 2, &time, nullptr) <= 0) return false;
  uint64_t calls;
  return read(wake_fd_, &calls, sizeof(calls)) == sizeof(calls);
}

void PolledCanBus::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof(one));  // fails only when it is as awake as it can be
}

void PolledCanBus::Up() {
  report_.up = true;
  report_.problem.clear();
}

void PolledCanBus::Down(std::string problem) {
  report_.up = false;
  report_.problem = std::move(problem);
}

void WaitForFd(int fd, short events, absl::Duration timeout) {
  pollfd one = {.fd = fd, .events = events, .revents = 0};
  const timespec time = UpTo(timeout);
  ppoll(&one, 1, &time, nullptr);
}

absl::Status CheckClassicCanFrame(const CanFrame& frame) {
  if (frame.is(kCanFd)) return absl::InvalidArgumentError("slcan cannot carry FD frames");
  if (frame.is(kCanError)) return absl::InvalidArgumentError("an error frame is a report and cannot be sent");
  return absl::OkStatus();
}

}  // namespace fleet
