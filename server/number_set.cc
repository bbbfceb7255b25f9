#include "server/number_set.h"

#include <algorithm>
#include <iterator>

namespace fleet::server {

NumberSet::Ranges::const_iterator NumberSet::NotBefore(uint64_t number) const {
  auto range = ranges_.upper_bound(number);
  if (range != ranges_.begin() && std::prev(range)->second >= number) --range;
  return range;
}

uint64_t NumberSet::Add(NumberRange range) {
  const uint64_t before = size_;
  uint64_t first = range.first;
  uint64_t last = range.last;
  // From the neighbour that it touches on the left to the one on the right, all become one.
  auto at = NotBefore(first > 0 ? first - 1 : 0);
  while (at != ranges_.end() && at->first <= last + 1) {
    first = std::min(first, at->first);
    last = std::max(last, at->second);
    size_ -= at->second - at->first + 1;
    at = ranges_.erase(at);
  }
  ranges_.emplace_hint(at, first, last);
  size_ += last - first + 1;
  return size_ - before;
}

uint64_t NumberSet::Remove(NumberRange range) {
  const uint64_t before = size_;
  auto at = NotBefore(range.first);
  while (at != ranges_.end() && at->first <= range.last) {
    const NumberRange old{at->first, at->second};
    at = ranges_.erase(at);
    size_ -= std::min(old.last, range.last) - std::max(old.first, range.first) + 1;
    if (old.first < range.first) ranges_.emplace_hint(at, old.first, range.first - 1);
    if (old.last > range.last) ranges_.emplace_hint(at, range.last + 1, old.last);
  }
  return before - size_;
}

std::vector<NumberRange> NumberSet::Missing(NumberRange range) const {
  std::vector<NumberRange> missing;
  uint64_t next = range.first;
  for (auto at = NotBefore(next); at != ranges_.end() && at->first <= range.last; ++at) {
    if (at->first > next) missing.push_back({next, at->first - 1});
    next = at->second + 1;
  }
  if (next <= range.last) missing.push_back({next, range.last});
  return missing;
}

uint64_t NumberSet::CountWithin(NumberRange range) const {
  uint64_t count = 0;
  for (auto at = NotBefore(range.first); at != ranges_.end() && at->first <= range.last; ++at) {
    count += std::min(at->second, range.last) - std::max(at->first, range.first) + 1;
  }
  return count;
}

}  // namespace fleet::server
