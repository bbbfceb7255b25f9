// A set of numbers from 1 on that mostly hangs together: 1 to 500 and 520 to 800 take two entries.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace fleet::server {

struct NumberRange {
  uint64_t first;
  uint64_t last;  // included
  uint64_t count() const { return last - first + 1; }
  bool operator==(const NumberRange&) const = default;
};

class NumberSet {
 public:
  // Returns how many were new.
  uint64_t Add(NumberRange range);
  // Returns how many were there.
  uint64_t Remove(NumberRange range);
  // What of the range is not in the set, in order.
  std::vector<NumberRange> Missing(NumberRange range) const;
  uint64_t CountWithin(NumberRange range) const;
  bool Contains(uint64_t number) const { return CountWithin({number, number}) == 1; }
  // In order, never touching: first to last.
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }
  uint64_t size() const { return size_; }  // numbers, not ranges

 private:
  using Ranges = std::map<uint64_t, uint64_t>;
  // The first range that does not end before `number`.
  Ranges::const_iterator NotBefore(uint64_t number) const;

  Ranges ranges_;
  uint64_t size_ = 0;
};

}  // namespace fleet::server
