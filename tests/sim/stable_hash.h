// A running hash of everything that happens in a simulated world: the same on every machine and in every process.
#pragma once

#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace fleet {

class StableHash {
 public:
  void Add(uint64_t word) {
    // A step of SplitMix64's mixer (Steele, Lea, Flood 2014) over the state and the word.
    state_ = (state_ ^ word) * 0xbf58476d1ce4e5b9;
    state_ ^= state_ >> 29;
  }
  void Add(absl::string_view bytes) {
    const size_t size = bytes.size();
    Add(size);
    if (size == 0) return;
    if (size < 8) return Add(Load(bytes.data(), size));
    for (size_t i = 0; i + 8 < size; i += 8) Add(Load(bytes.data() + i, 8));
    Add(Load(bytes.data() + size - 8, 8));  // may overlap: a copy of a fixed size is cheap
  }
  uint64_t value() const { return state_; }

 private:
  static uint64_t Load(const char* bytes, size_t count) {  // little-endian machines only, as is all that we run on
    uint64_t word = 0;
    std::memcpy(&word, bytes, count);
    return word;
  }
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

}  // namespace fleet
