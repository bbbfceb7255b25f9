// Hexadecimal digits without a detour through streams: logs have hundreds of thousands of lines per second.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace fleet {

inline constexpr uint8_t kNoNibble = 16;
inline constexpr std::array<uint8_t, 256> kNibbles = [] {
  std::array<uint8_t, 256> nibbles{};
  nibbles.fill(kNoNibble);
  for (int i = 0; i < 10; ++i) nibbles['0' + i] = static_cast<uint8_t>(i);
  for (int i = 0; i < 6; ++i) nibbles['A' + i] = nibbles['a' + i] = static_cast<uint8_t>(10 + i);
  return nibbles;
}();
inline constexpr char kHexDigits[] = "0123456789ABCDEF";

// 0 to 15, or kNoNibble.
inline uint8_t Nibble(char digit) {
  return kNibbles[static_cast<uint8_t>(digit)];
}

// Of 1 to 8 digits and nothing else.
inline std::optional<uint32_t> ReadHex(absl::string_view text) {
  if (text.empty() || text.size() > 8) return std::nullopt;
  uint32_t number = 0;
  for (const char digit : text) {
    if (Nibble(digit) == kNoNibble) return std::nullopt;
    number = number << 4 | Nibble(digit);
  }
  return number;
}

// The last `digits` digits, in capitals. Returns the end.
inline char* PutHex(char* to, uint32_t number, int digits) {
  for (int i = digits - 1; i >= 0; --i, number >>= 4) to[i] = kHexDigits[number & 15];
  return to + digits;
}

}  // namespace fleet
