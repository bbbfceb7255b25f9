#include "common/service_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

// A number of the environment; 0: there is none.
int64_t Variable(const char* name) {
  const char* const text = std::getenv(name);
  int64_t number = 0;
  return text != nullptr && absl::SimpleAtoi(text, &number) && number > 0 ? number : 0;
}

absl::Duration FeedPeriod() {
  const int64_t watchdog_us = Variable("WATCHDOG_USEC");
  const int64_t pid = Variable("WATCHDOG_PID");
  if (watchdog_us == 0 || (pid != 0 && pid != getpid())) return absl::InfiniteDuration();
  return absl::Microseconds(watchdog_us) / 2;
}

// sd_notify(3), of which all is said there. Not from its library: that brings five others along, and with them the
// agent takes more memory than it may. A socket that is full or gone is systemd's concern: then it misses us.
void Tell(const std::string& state) {
  const absl::string_view path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || path.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract one
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  (void)sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
  close(fd);
}

}  // namespace

ServiceNotify::ServiceNotify() : is_on_(std::getenv("NOTIFY_SOCKET") != nullptr), feed_period_(FeedPeriod()) {}

MonoTime ServiceNotify::Turn(MonoTime now) {
  if (!is_on_) return MonoTime::Max();
  if (!std::exchange(is_ready_, true)) {
    Tell("READY=1");
    feed_at_ = now;
  }
  if (feed_period_ == absl::InfiniteDuration()) return MonoTime::Max();
  if (now >= feed_at_) {
    Tell("WATCHDOG=1");
    feed_at_ = now + feed_period_;
  }
  return feed_at_;
}

void ServiceNotify::Status(absl::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';  // another line would be another message
  }
  if (!is_on_ || line == status_) return;
  status_ = std::move(line);
  Tell(absl::StrCat("STATUS=", status_));
}

void ServiceNotify::Stopping() {
  if (is_on_) Tell("STOPPING=1");
}

}  // namespace fleet
