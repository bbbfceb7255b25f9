#include "common/service_notify.h"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

absl::Duration FeedPeriod() {
  uint64_t watchdog_us = 0;
  if (sd_watchdog_enabled(0, &watchdog_us) <= 0) return absl::InfiniteDuration();
  return absl::Microseconds(static_cast<int64_t>(watchdog_us)) / 2;
}

// A socket that is full or gone is systemd's concern: then it misses us.
void Tell(const std::string& state) {
  sd_notify(0, state.c_str());
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
