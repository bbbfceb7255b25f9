#include "device/can/j1939_dm1.h"

#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

constexpr size_t kLampBytes = 2;  // on or off, and how they flash
constexpr size_t kCodeBytes = 4;
constexpr size_t kFrameBytes = 8;  // lamps, one code, two bytes that say nothing
constexpr uint32_t kNoSpn = 0x7FFFF;
constexpr uint8_t kNoCount = 127;

// 0 off, 1 on, 2 reserved, 3 not there.
bool IsOn(uint8_t lamps, int shift) {
  return (lamps >> shift & 3) == 1;
}

J1939Dtc ParseCode(std::span<const uint8_t> bytes) {
  const uint8_t count = bytes[3] & 0x7F;
  return {.spn = bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} >> 5 << 16,
          .fmi = static_cast<uint8_t>(bytes[2] & 0x1F),
          .count = count == kNoCount ? uint8_t{0} : count};
}

}  // namespace

bool operator==(const J1939Dtc& a, const J1939Dtc& b) {
  return a.spn == b.spn && a.fmi == b.fmi && a.count == b.count;
}

std::string CodeText(const J1939Dtc& dtc) {
  return absl::StrCat("SPN ", dtc.spn, " FMI ", dtc.fmi);
}

absl::StatusOr<Dm1> ParseDm1(std::span<const uint8_t> data) {
  const size_t padding = data.size() == kFrameBytes ? 2 : 0;
  if (data.size() < kLampBytes + kCodeBytes || (data.size() - kLampBytes - padding) % kCodeBytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat("DM1 of ", data.size(), " bytes is no list of trouble codes"));
  }
  Dm1 dm1 = {.mil = IsOn(data[0], 6),
             .red_stop = IsOn(data[0], 4),
             .amber = IsOn(data[0], 2),
             .protect = IsOn(data[0], 0),
             .codes = {}};
  for (size_t at = kLampBytes; at + kCodeBytes <= data.size(); at += kCodeBytes) {
    const J1939Dtc dtc = ParseCode(data.subspan(at, kCodeBytes));
    const bool says_nothing = dtc.spn == 0 || dtc.spn == kNoSpn;
    if (!says_nothing) dm1.codes.push_back(dtc);
  }
  return dm1;
}

}  // namespace fleet::device
