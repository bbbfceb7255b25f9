#include "tools/fleetctl/human.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

const absl::TimeZone kZone = absl::FixedTimeZone(3600);
const absl::Time kNoon = absl::FromCivil(absl::CivilSecond(2026, 3, 1, 12, 0, 0), kZone);
const Here kHere{.now = kNoon, .zone = kZone};

TEST(HumanDuration, HasTwoFiguresAtMost) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(349)), "0.3s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(9990)), "9.9s");
  EXPECT_EQ(HumanDuration(absl::Seconds(59.9)), "59s");
  EXPECT_EQ(HumanDuration(absl::Seconds(200)), "3m");
  EXPECT_EQ(HumanDuration(absl::Minutes(125)), "2h05m");
  EXPECT_EQ(HumanDuration(absl::Hours(80)), "3d");
}

TEST(HumanDuration, OfTheFutureIsNow) {
  EXPECT_EQ(HumanDuration(absl::Seconds(-5)), "0.0s");
}

TEST(HumanTime, SaysTheDayOnlyWhenItIsAnother) {
  EXPECT_EQ(HumanTime(kNoon - absl::Hours(1), kHere), "11:00:00");
  EXPECT_EQ(HumanTime(kNoon - absl::Hours(13), kHere), "2026-02-28 23:00:00");
  EXPECT_EQ(HumanTimeMillis(kNoon + absl::Milliseconds(7), kHere), "12:00:00.007");
}

TEST(HumanSkew, HasASignAndAFittingUnit) {
  EXPECT_EQ(HumanSkew(12.4), "+12 ms");
  EXPECT_EQ(HumanSkew(-999), "-999 ms");
  EXPECT_EQ(HumanSkew(-3200), "-3.2 s");
  EXPECT_EQ(HumanSkew(-7'200'000), "-2h00m");
}

TEST(HumanPose, IsInMetresAndDegrees) {
  EXPECT_EQ(Metres(1250), "1.250 m");
  EXPECT_EQ(Metres(-20), "-0.020 m");
  EXPECT_EQ(Degrees(-90'000), "-90.0 deg");
  EXPECT_EQ(Speed(300, -400), "0.500 m/s");
  EXPECT_EQ(Speed(INT32_MIN, 0), "2147483.648 m/s");
}

TEST(HumanCount, OfOneIsSingular) {
  EXPECT_EQ(Plural(1, "device"), "1 device");
  EXPECT_EQ(Plural(0, "device"), "0 devices");
  EXPECT_EQ(Plural(1, "entity"), "1 entity");
  EXPECT_EQ(Plural(9, "entity"), "9 entities");
  EXPECT_EQ(Count(9'007'199'254'740'992), "9007199254740992");
}

TEST(ReasonInWords, ExplainsKnownWordsAndShowsOthers) {
  EXPECT_EQ(ReasonInWords("lost"), "lost: the broker's will");
  EXPECT_EQ(ReasonInWords(""), "");
  EXPECT_EQ(ReasonInWords("brand_new"), "brand_new");
}

TEST(Printable, LeavesNothingThatDrivesATerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\n\x7f"), "a?[2Jb??");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\xC2?31m");
  EXPECT_EQ(Printable("Gr\xC3\xBC\xC3\x9F"
                      "e"),
            "Gr\xC3\xBC\xC3\x9F"
            "e");
}

TEST(Human, DecimalsAreTheShortestThatReadBackTheSame) {
  EXPECT_EQ(Decimal(3500), "3500");
  EXPECT_EQ(Decimal(123456.7), "123456.7");
  EXPECT_EQ(Decimal(0.1), "0.1");
  EXPECT_EQ(Decimal(-0.03125), "-0.03125");
  EXPECT_EQ(Decimal(0), "0");
  EXPECT_EQ(Decimal(1e6), "1000000");
  EXPECT_EQ(Decimal(1e300), "1e+300");
  EXPECT_EQ(Decimal(5e-324), "5e-324");
}

TEST(Human, IsoTimeIsUtcWithMilliseconds) {
  EXPECT_EQ(IsoTime(absl::FromUnixMillis(1'760'000'000'005)), "2025-10-09T08:53:20.005Z");
  EXPECT_EQ(IsoTime(absl::UnixEpoch()), "1970-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace fleet
