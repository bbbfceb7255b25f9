#include "tools/fleetctl/human.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace fleet {
namespace {

std::string FormatNear(absl::string_view time_format, absl::Time time, const Here& here) {
  const bool today = absl::ToCivilDay(time, here.zone) == absl::ToCivilDay(here.now, here.zone);
  return absl::FormatTime(today ? std::string(time_format) : absl::StrCat("%Y-%m-%d ", time_format), time, here.zone);
}

}  // namespace

std::string HumanDuration(absl::Duration duration) {
  duration = std::max(duration, absl::ZeroDuration());
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 10) return absl::StrFormat("%.1fs", std::floor(absl::ToDoubleSeconds(duration) * 10) / 10);
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m");
  if (seconds < 24 * 3600) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  return absl::StrCat(seconds / (24 * 3600), "d");
}

std::string HumanTime(absl::Time time, const Here& here) {
  return FormatNear("%H:%M:%S", time, here);
}

std::string HumanTimeMillis(absl::Time time, const Here& here) {
  return FormatNear("%H:%M:%E3S", time, here);
}

std::string HumanSkew(double skew_ms) {
  if (std::abs(skew_ms) < 1000) return absl::StrFormat("%+.0f ms", skew_ms);
  if (std::abs(skew_ms) < 60'000) return absl::StrFormat("%+.1f s", skew_ms / 1000);
  return absl::StrCat(skew_ms < 0 ? "-" : "+", HumanDuration(absl::Milliseconds(std::abs(skew_ms))));
}

std::string HumanStepTime(double since_issue_ms) {
  return absl::StrFormat("%9.1f ms", since_issue_ms);
}

std::string Metres(int32_t mm) {
  return absl::StrFormat("%.3f m", mm / 1000.0);
}

std::string Degrees(int32_t mdeg) {
  return absl::StrFormat("%.1f deg", mdeg / 1000.0);
}

std::string Speed(int32_t vx_mm_s, int32_t vy_mm_s) {
  return absl::StrFormat("%.3f m/s", std::hypot(vx_mm_s, vy_mm_s) / 1000.0);
}

std::string Decimal(double number) {
  const double size = std::abs(number);
  const bool plain = size == 0 || (size >= 1e-5 && size < 1e15);
  std::array<char, 40> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number,
                                 plain ? std::chars_format::fixed : std::chars_format::general);
  return std::string(text.data(), end.ptr);
}

std::string IsoTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

std::string Count(double whole_number) {
  return absl::StrFormat("%.0f", whole_number);
}

std::string Plural(double count, absl::string_view of) {
  const absl::string_view stem = of == "entity" && count != 1 ? "entitie" : of;
  return absl::StrCat(Count(count), " ", stem, count == 1 ? "" : "s");
}

std::string ReasonInWords(absl::string_view reason) {
  if (reason == "clean") return "clean: it said goodbye";
  if (reason == "lost") return "lost: the broker's will";
  if (reason == "silent") return "silent: no heartbeat, and no will yet";
  if (reason == "replaced") return "replaced: two agents connect with its id in turn";
  return Printable(reason);
}

std::string Printable(absl::string_view text) {
  std::string out(text);
  for (size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    // The second block of control characters, U+0080 to U+009F, is C2 80 to C2 9F in UTF-8.
    const bool second_block = i > 0 && static_cast<unsigned char>(text[i - 1]) == 0xC2 && byte >= 0x80 && byte <= 0x9F;
    if (byte < 0x20 || byte == 0x7F || second_block) out[i] = '?';
  }
  return out;
}

}  // namespace fleet
