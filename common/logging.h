// Log lines: the event first, then key=value, ids always, never payloads or secrets.
//   LogInfo("device online device_id={} epoch={}", id.view(), epoch);
// error = a person must act; warn = degraded, we go on; info = state changed; debug = per message.
// To standard error. Any thread.
#pragma once

#include <spdlog/spdlog.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"

#ifndef ABSL_USES_STD_STRING_VIEW
template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::string_view s, Context& context) const {
    return fmt::formatter<fmt::string_view>::format({s.data(), s.size()}, context);
  }
};
#endif

namespace fleet {

// `level`: debug, info, warn or error. kInvalidArgument: none of them.
absl::Status StartLogging(absl::string_view program, absl::string_view level);

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::debug(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::info(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogWarn(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::warn(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::error(format, std::forward<Args>(args)...);
}

// Lets one log line through per period and counts the others:
//   if (auto skipped = limit.Allow(now)) LogWarn("message refused reason={} skipped={}", reason, *skipped);
class LogLimit {
 public:
  explicit LogLimit(absl::Duration period) : period_(period) {}
  std::optional<uint64_t> Allow(MonoTime now) {
    if (now < next_) {
      ++skipped_;
      return std::nullopt;
    }
    next_ = now + period_;
    return std::exchange(skipped_, 0);
  }

 private:
  const absl::Duration period_;
  MonoTime next_;
  uint64_t skipped_ = 0;
};

}  // namespace fleet
