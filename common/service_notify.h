// Tells systemd how this service is: sd_notify(3), systemd.service(5) Type=notify and WatchdogSec=.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet {

// Ready with the first turn of the loop. The loop feeds the watchdog: one that hangs is missed, and the service
// restarted. Without NOTIFY_SOCKET in the environment nothing is told. Loop thread only; never blocks for long.
class ServiceNotify {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  ServiceNotify();

  // In each turn. The first says that the service is ready, and each that comes when half of the watchdog's time is
  // over feeds it. Returns when to be called again at the latest.
  MonoTime Turn(MonoTime now);
  // One line for `systemctl status`, told when it has changed.
  void Status(absl::string_view text);
  // Once, before the end.
  void Stopping();

 private:
  const bool is_on_;
  const absl::Duration feed_period_;  // infinite: there is no watchdog
  bool is_ready_ = false;
  MonoTime feed_at_;
  std::string status_;
};

}  // namespace fleet
