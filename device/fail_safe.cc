#include "device/fail_safe.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace fleet::device {

absl::StatusOr<FailSafePolicy> ParseFailSafePolicy(absl::string_view word) {
  if (word == "stop") return FailSafePolicy::kStop;
  if (word == "finish_segment") return FailSafePolicy::kFinishSegment;
  if (word == "continue") return FailSafePolicy::kContinue;
  return absl::InvalidArgumentError(absl::StrCat("'", word, "' is not stop, finish_segment or continue"));
}

absl::StatusOr<EntityPolicies> ParseEntityPolicies(absl::string_view text) {
  EntityPolicies policies;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> sides = absl::StrSplit(part, absl::MaxSplits('=', 1));
    uint32_t id = 0;
    if (sides.size() != 2 || !absl::SimpleAtoi(sides[0], &id) || id == 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", part, "' is not ENTITY=POLICY"));
    }
    ASSIGN_OR_RETURN(const FailSafePolicy policy, ParseFailSafePolicy(absl::StripAsciiWhitespace(sides[1])));
    if (!policies.emplace(EntityId{id}, policy).second) {
      return absl::InvalidArgumentError(absl::StrCat("entity ", id, " is there twice"));
    }
  }
  return policies;
}

std::optional<absl::Duration> FailSafe::Hear(MonoTime now) {
  const MonoTime heard_before = std::exchange(heard_at_, now);
  due_ = now + after_;
  if (!std::exchange(on_, false)) return std::nullopt;
  return now - heard_before;
}

std::optional<absl::Duration> FailSafe::Tick(MonoTime now) {
  if (now < NextDue()) return std::nullopt;
  on_ = true;
  due_ = MonoTime::Max();
  return now - heard_at_;
}

}  // namespace fleet::device
