// Numbers as a person reads them: times, durations, poses. Plain ASCII, so that a serial console shows it too.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fleet {

// Where the reader sits: what "today" and "ago" mean.
struct Here {
  absl::Time now;
  absl::TimeZone zone;
};

// Two figures at most: 0.3s, 12s, 3m, 2h05m, 3d. Below zero reads as 0.0s: clocks of two machines differ a little.
std::string HumanDuration(absl::Duration duration);
// 14:03:22 when it is the day of `here`, otherwise 2026-03-01 14:03:22.
std::string HumanTime(absl::Time time, const Here& here);
// The same with milliseconds, for lists of events.
std::string HumanTimeMillis(absl::Time time, const Here& here);

// A signed difference: +12 ms, -3.2 s.
std::string HumanSkew(double skew_ms);
// Milliseconds since a command was issued: "12.3 ms", as wide as a minute needs.
std::string HumanStepTime(double since_issue_ms);

std::string Metres(int32_t mm);                       // 1.250 m
std::string Degrees(int32_t mdeg);                    // 45.0 deg
std::string Speed(int32_t vx_mm_s, int32_t vy_mm_s);  // 0.500 m/s, the length of the vector
// The shortest decimal that reads back as the same number: 3500, 0.1, 1e+30.
std::string Decimal(double number);
// ISO 8601 with milliseconds, in UTC: 2026-03-01T14:03:22.123Z.
std::string IsoTime(absl::Time time);
std::string Count(double whole_number);                  // 12345
std::string Plural(double count, absl::string_view of);  // 1 device, 3 devices

// The reason of a liveness change with what it means: "lost: the broker's will". Empty for an empty reason.
std::string ReasonInWords(absl::string_view reason);

// Text of a device or a server made safe to print: control characters, which could drive the terminal, become '?'.
std::string Printable(absl::string_view text);

}  // namespace fleet
