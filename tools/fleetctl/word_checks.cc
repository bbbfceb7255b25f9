#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "tools/fleetctl/words.h"

namespace fleet {

absl::StatusOr<std::string> CheckDevice(const std::string& text) {
  ASSIGN_OR_RETURN(const DeviceId id, DeviceId::Parse(text));
  return id.str();
}

absl::StatusOr<int64_t> ParseWhole(absl::string_view what, absl::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  if (absl::SimpleAtoi(text, &value) && value >= min && value <= max) return value;
  return absl::InvalidArgumentError(
      absl::StrCat(what, " wants a whole number from ", min, " to ", max, "; got '", text, "'"));
}

absl::StatusOr<absl::Duration> ParsePositive(absl::string_view what, const std::string& text, absl::Duration max) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration >= absl::Milliseconds(1) && duration <= max) return duration;
  return absl::InvalidArgumentError(absl::StrCat(what, " wants a duration from 1ms to ", absl::FormatDuration(max),
                                                 ", such as 500ms, 5s or 10m; got '", text, "'"));
}

absl::StatusOr<std::string> MaybeDevice(const std::string& text) {
  if (text.empty()) return text;
  return CheckDevice(text);
}

}  // namespace fleet
