#include "device/modbus/serial_timing.h"

#include <gtest/gtest.h>

namespace fleet::device {
namespace {

constexpr MonoTime kNow = MonoTime::FromNanos(1'000'000'000);
constexpr absl::Duration kTimeout = absl::Milliseconds(100);
constexpr absl::Duration kGap = absl::Nanoseconds(35 * 11 * 100'000'000LL / 9600);

SerialTiming Timing() {
  return SerialTiming(9600, /*has_parity=*/true, 1);
}

TEST(SerialTiming, BytesTakeTheirBits) {
  EXPECT_EQ(SerialTiming(10000, true, 1).TimeOf(8), absl::Microseconds(8800));
  EXPECT_EQ(SerialTiming(10000, false, 1).TimeOf(8), absl::Microseconds(8000));
  EXPECT_EQ(SerialTiming(10000, false, 2).TimeOf(8), absl::Microseconds(8800));
}

TEST(SerialTiming, NewLineMayBeUsedAtOnce) {
  EXPECT_LE(Timing().Due(1), kNow);
}

TEST(SerialTiming, GapAfterAnAnswerIsThreeAndAHalfCharactersButNotShorterThanTheStandardHasIt) {
  SerialTiming slow = Timing();
  slow.Answered(1, kNow);
  EXPECT_LE(absl::AbsDuration(slow.Due(2) - kNow - kGap), absl::Microseconds(1));
  SerialTiming fast(115200, true, 1);
  fast.Answered(1, kNow);
  EXPECT_EQ(fast.Due(2) - kNow, absl::Microseconds(1750));
}

TEST(SerialTiming, UnitThatDidNotAnswerIsNotAskedBeforeItCannotAnswerAnyMore) {
  SerialTiming timing = Timing();
  timing.Silent(1, kNow, kTimeout);
  EXPECT_EQ(timing.Due(1) - kNow, kTimeout);
  EXPECT_LE(timing.Due(2), kNow) << "others are asked";
  timing.Noise(kNow);
  EXPECT_EQ(timing.Due(1) - kNow, kTimeout) << "it was not heard";
  timing.NoiseOf(1, kNow);
  EXPECT_EQ(timing.Due(1) - kNow, SerialTiming::kSettled) << "it was";
}

TEST(SerialTiming, LineSettlesAfterWhatNobodyWaitsFor) {
  SerialTiming timing = Timing();
  timing.Noise(kNow);
  EXPECT_EQ(timing.Due(1) - kNow, SerialTiming::kSettled);
  SerialTiming slow(300, true, 1);
  slow.Noise(kNow);
  EXPECT_GT(slow.Due(1) - kNow, SerialTiming::kSettled) << "3.5 characters are longer";
}

TEST(SerialTiming, UnitsHaveTimeForABroadcast) {
  SerialTiming timing = Timing();
  timing.Broadcast(kNow);
  EXPECT_EQ(timing.Due(1) - kNow, SerialTiming::kTurnaround);
}

}  // namespace
}  // namespace fleet::device
