// What a device says of itself in plain text, for other tools: gateway/* and security/* below rpi/<id>/.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/effects.h"
#include "device/schedule.h"

namespace fleet::device {

// Refused by the command gate and by the compatible tunnel, in this life.
struct SecurityCounts {
  uint64_t auth_failures = 0;      // a bad signature
  uint64_t timestamp_drift = 0;    // too old, too new, or from a time that nobody remembers
  uint64_t policy_violations = 0;  // an id, direction or rate that is not allowed
  bool operator==(const SecurityCounts&) const = default;
};

// gateway/connection_state is `online` after each connect and `offline` before a clean stop; that a device is lost the
// broker says in rpi/<id>/status. gateway/uptime (s) and gateway/message_rate (messages/s published) come every period,
// security/* after each connect and when it has changed. Loop thread only.
class GatewayReporter {
 public:
  // `schedule`: a period of zero turns all of it off.
  GatewayReporter(const DeviceId& device, Schedule schedule, MonoTime start);

  // `messages`: published so far.
  void LinkUp(const SecurityCounts& counts, Effects& effects);
  void Tick(MonoTime now, uint64_t messages, const SecurityCounts& counts, Effects& effects) {
    if (schedule_.Take(now)) Report(now, messages, counts, effects);
  }
  void Goodbye(Effects& effects) const;

  MonoTime NextDue() const { return schedule_.next(); }

 private:
  enum Topic { kConnectionState, kUptime, kMessageRate, kAuthFailures, kTimestampDrift, kPolicyViolations, kTopics };
  void Report(MonoTime now, uint64_t messages, const SecurityCounts& counts, Effects& effects);
  void Say(Topic topic, std::string text, int qos, Effects& effects) const;
  void SaySecurity(const SecurityCounts& counts, Effects& effects);
  bool is_on() const { return schedule_.next() != MonoTime::Max(); }

  std::array<std::string, kTopics> topics_;
  Schedule schedule_;
  const MonoTime start_;
  MonoTime reported_;
  uint64_t messages_ = 0;
  SecurityCounts counts_;
};

}  // namespace fleet::device
