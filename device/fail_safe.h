// What entities do when the server is silent.
#pragma once

#include <map>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/ids.h"

namespace fleet::device {

enum class FailSafePolicy {
  kStop,           // what runs and what waits ends
  kFinishSegment,  // what runs goes on to its end, what waits ends
  kContinue,       // nothing changes
};
// "stop", "finish_segment" or "continue"; kInvalidArgument: another word.
absl::StatusOr<FailSafePolicy> ParseFailSafePolicy(absl::string_view word);

using EntityPolicies = std::map<EntityId, FailSafePolicy>;
// "2=continue,3=finish_segment", or nothing; kInvalidArgument says which part is wrong, or that an entity is there
// twice.
absl::StatusOr<EntityPolicies> ParseEntityPolicies(absl::string_view text);

struct FailSafeOptions {
  absl::Duration after = absl::Seconds(3);  // of silence
  FailSafePolicy policy = FailSafePolicy::kStop;
  EntityPolicies entities;  // in place of `policy`

  FailSafePolicy PolicyOf(EntityId entity) const {
    const auto found = entities.find(entity);
    return found == entities.end() ? policy : found->second;
  }
};

// Whether the server has been silent for too long (docs/protocol.md section 4).
//
//   off --no beat for `after`, counted from the start or the last beat--> on --a beat--> off
//
// Pure, on the monotonic clock only. Loop thread only.
class FailSafe {
 public:
  FailSafe(absl::Duration after, MonoTime started) : after_(after), heard_at_(started), due_(started + after) {}

  // A beat came. How long it was silent, if that ends the fail-safe.
  std::optional<absl::Duration> Hear(MonoTime now);
  // How long it is silent, if the fail-safe begins now.
  std::optional<absl::Duration> Tick(MonoTime now);

  bool on() const { return on_; }
  MonoTime NextDue() const { return due_; }

 private:
  const absl::Duration after_;
  MonoTime heard_at_;
  MonoTime due_;  // Max while it is on
  bool on_ = false;
};

}  // namespace fleet::device
