// What the bytes of OBD-II answers mean: parameters of mode 01 and trouble codes, as SAE J1979 has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fleet::device {

// A parameter that is one number: big-endian in the first `used` of `size` bytes, times factor, plus offset.
struct ObdPid {
  uint8_t pid = 0;
  uint8_t size = 0;  // of its data in an answer
  uint8_t used = 0;
  double factor = 1;
  double offset = 0;
  absl::string_view unit;
  absl::string_view name;
};

inline constexpr uint8_t kObdMonitorPid =
    0x01;  // bit 7 of its first byte is the MIL; its number: how many codes are stored

// Sorted by pid; without the bitmaps.
std::span<const ObdPid> ObdPids();
// nullptr: not one that we know.
const ObdPid* FindObdPid(uint8_t pid);
// `data`: pid.size bytes.
double DecodeObdPid(const ObdPid& pid, std::span<const uint8_t> data);

// 00, 20, ... E0: which of the following 32 are supported, MSB first.
inline constexpr int kObdBitmapPids = 0x20;
inline bool IsObdBitmap(uint8_t pid) {
  return pid % kObdBitmapPids == 0;
}

struct ObdReading {
  uint8_t pid = 0;
  std::span<const uint8_t> data;  // part of the message that was parsed
};

// `message`: a whole answer to mode 01, "41 0C 17 70". nullopt unless it is made of parameters out of `asked`, each
// once and in full, and of nothing else: such an answer is for somebody else, or cut.
std::optional<std::vector<ObdReading>> ParseObdReadings(std::span<const uint8_t> message,
                                                        std::span<const uint8_t> asked);

// `message`: a whole answer to mode 03 or 07, "43 n" and n codes. nullopt unless its length fits n. Codes of 0000, with
// which some fill up, are left out.
std::optional<std::vector<uint16_t>> ParseObdDtcs(std::span<const uint8_t> message);

// 0x0133: "P0133"; 0xC100: "U0100".
std::string ObdDtcText(uint16_t dtc);

// For people: "conditions not correct"; of one that we do not know its hex.
std::string ObdRefusalText(uint8_t nrc);

}  // namespace fleet::device
