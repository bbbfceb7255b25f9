#include "device/modbus/serial_timing.h"

#include <algorithm>

namespace fleet::device {
namespace {

constexpr double kGapCharacters = 3.5;
constexpr absl::Duration kShortestGap = absl::Microseconds(1750);  // above 19 200 bit/s

}  // namespace

SerialTiming::SerialTiming(int baud, bool has_parity, int stop_bits)
    : character_(absl::Seconds(1) * (1 + 8 + (has_parity ? 1 : 0) + stop_bits) / baud),
      gap_(std::max(kGapCharacters * character_, kShortestGap)) {}

MonoTime SerialTiming::Due(uint8_t unit) const {
  return std::max(quiet_at_, late_until_[unit]);
}

void SerialTiming::Answered(uint8_t unit, MonoTime now) {
  quiet_at_ = now + gap_;
  late_until_[unit] = MonoTime();
}

void SerialTiming::Silent(uint8_t unit, MonoTime now, absl::Duration timeout) {
  late_until_[unit] = now + timeout;
}

void SerialTiming::Broadcast(MonoTime now) {
  quiet_at_ = now + kTurnaround;
}

void SerialTiming::Noise(MonoTime now) {
  quiet_at_ = now + std::max(kSettled, gap_);
}

void SerialTiming::NoiseOf(uint8_t unit, MonoTime now) {
  Noise(now);
  late_until_[unit] = MonoTime();
}

}  // namespace fleet::device
