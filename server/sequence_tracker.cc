#include "server/sequence_tracker.h"

namespace fleet::server {
namespace {
constexpr uint32_t kWindow = 64;            // bits of Saved::seen
constexpr uint32_t kNotHeard = UINT32_MAX;  // Saved::highest before the first message ever: ingest refuses this seq
}  // namespace

void SequenceTracker::StartLife(uint32_t epoch) {
  const bool first_ever = s_.epoch == 0;
  s_.epoch = epoch;
  s_.highest = 0;
  s_.seen = 0;
  if (first_ever) s_.highest = kNotHeard;
}

void SequenceTracker::ResumeLife(uint32_t epoch) {
  s_.epoch = epoch;
  s_.highest = kNotHeard;
}

SequenceTracker::Verdict SequenceTracker::Accept(uint32_t epoch, uint32_t seq) {
  if (s_.epoch != epoch) StartLife(epoch);
  if (s_.highest == kNotHeard) {
    s_.highest = seq - 1;
    s_.seen = ~uint64_t{0};  // what was sent before we came in was never expected
  }
  if (seq <= s_.highest) return AcceptLate(s_.highest - seq);
  const uint32_t step = seq - s_.highest;
  s_.seen = step >= kWindow ? 1 : (s_.seen << step) | 1;
  s_.highest = seq;
  s_.expected += step;
  ++s_.stored;
  return Verdict::kNew;
}

SequenceTracker::Verdict SequenceTracker::AcceptLate(uint32_t behind) {
  const uint64_t bit = behind < kWindow ? uint64_t{1} << behind : 0;
  if (bit == 0 || (s_.seen & bit) != 0) {
    ++s_.duplicate;
    return Verdict::kDuplicate;
  }
  s_.seen |= bit;
  ++s_.stored;
  ++s_.reordered;
  return Verdict::kLate;
}

}  // namespace fleet::server
