#include "device/dropped_ranges.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace fleet::device {
namespace {

using Ranges = std::vector<v1::DroppedRange>;

uint64_t Gap(const Ranges& ranges, size_t left) {
  const uint64_t last = ranges[left].last_seq();
  const uint64_t next = ranges[left + 1].first_seq();
  return next > last ? next - last - 1 : 0;
}

bool SameReason(const Ranges& ranges, size_t left) {
  return ranges[left].reason() == ranges[left + 1].reason();
}

void JoinWithNext(Ranges& ranges, size_t left) {
  ranges[left].set_last_seq(std::max(ranges[left].last_seq(), ranges[left + 1].last_seq()));
  ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(left) + 1);
}

void JoinIfTouching(Ranges& ranges, size_t left) {
  if (left + 1 < ranges.size() && SameReason(ranges, left) && Gap(ranges, left) == 0) JoinWithNext(ranges, left);
}

void JoinNearest(Ranges& ranges) {
  size_t best = 0;
  uint64_t best_gap = std::numeric_limits<uint64_t>::max();
  bool best_same = false;
  for (size_t left = 0; left + 1 < ranges.size(); ++left) {
    const bool same = SameReason(ranges, left);
    if (same < best_same || (same == best_same && Gap(ranges, left) >= best_gap)) continue;
    best = left;
    best_gap = Gap(ranges, left);
    best_same = same;
  }
  JoinWithNext(ranges, best);
}

}  // namespace

void AddDropped(Ranges& ranges, const v1::DroppedRange& range) {
  const auto at = std::ranges::upper_bound(ranges, range.first_seq(), {}, &v1::DroppedRange::first_seq);
  const auto index = static_cast<size_t>(at - ranges.begin());
  ranges.insert(at, range);
  JoinIfTouching(ranges, index);
  if (index > 0) JoinIfTouching(ranges, index - 1);
  if (ranges.size() > kMaxDroppedRanges) JoinNearest(ranges);
}

}  // namespace fleet::device
