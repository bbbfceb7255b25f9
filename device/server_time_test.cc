#include "device/server_time.h"

#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

v1::ServerBeat Beat(uint32_t epoch, int64_t steady_unix_ms) {
  v1::ServerBeat beat;
  beat.set_server_epoch(epoch);
  beat.set_steady_unix_ms(static_cast<uint64_t>(steady_unix_ms));
  return beat;
}

class ServerTimeTest : public testing::Test {
 protected:
  // What the server's clock shows now.
  int64_t TrueMs() const { return clock_.Read().mono.millis() + 5'000'000; }
  void HearDelayed(absl::Duration delay) {
    time_.Hear(Beat(1, TrueMs() - absl::ToInt64Milliseconds(delay)), clock_.Read().mono);
  }
  int64_t NowMs() const { return time_.NowMs(clock_.Read().mono).value(); }

  FakeClock clock_;
  ServerTime time_;
};

TEST_F(ServerTimeTest, IsUnknownBeforeTheFirstBeat) {
  EXPECT_EQ(time_.NowMs(clock_.Read().mono), std::nullopt);
}

TEST_F(ServerTimeTest, RunsOnBetweenBeats) {
  HearDelayed(absl::ZeroDuration());
  clock_.Advance(absl::Hours(5));
  EXPECT_EQ(NowMs(), TrueMs());
}

TEST_F(ServerTimeTest, TheLeastDelayedBeatCounts) {
  HearDelayed(absl::Milliseconds(300));
  EXPECT_EQ(NowMs(), TrueMs() - 300);
  HearDelayed(absl::Milliseconds(10));
  EXPECT_EQ(NowMs(), TrueMs() - 10);
  clock_.Advance(absl::Seconds(1));
  HearDelayed(absl::Milliseconds(900));
  EXPECT_EQ(NowMs(), TrueMs() - 10);
}

TEST_F(ServerTimeTest, FollowsAServerClockThatRunsSlow) {
  HearDelayed(absl::ZeroDuration());
  int64_t behind_ms = 0;
  for (int second = 1; second <= 1000; ++second) {
    clock_.Advance(absl::Seconds(1));
    if (second % 10 == 0) ++behind_ms;  // 100 ppm
    time_.Hear(Beat(1, TrueMs() - behind_ms), clock_.Read().mono);
  }
  EXPECT_NEAR(static_cast<double>(NowMs()), static_cast<double>(TrueMs() - behind_ms), 1);
}

TEST_F(ServerTimeTest, AClockThatWasSetBackIsFollowedOnceItIsSure) {
  HearDelayed(absl::ZeroDuration());
  time_.Hear(Beat(2, TrueMs() - 3'600'000), clock_.Read().mono);
  EXPECT_EQ(NowMs(), TrueMs());
  clock_.Advance(ServerTime::kSettle);
  EXPECT_EQ(NowMs(), TrueMs() - 3'600'000);
}

TEST_F(ServerTimeTest, AClockThatWasSetForwardIsFollowedAtOnce) {
  HearDelayed(absl::ZeroDuration());
  time_.Hear(Beat(2, TrueMs() + 3'600'000), clock_.Read().mono);
  EXPECT_EQ(NowMs(), TrueMs() + 3'600'000);
}

TEST_F(ServerTimeTest, AFirstBeatThatWasHeldBackMakesNothingLookFresh) {
  HearDelayed(absl::ZeroDuration());
  for (uint32_t epoch = 2; epoch < 5; ++epoch) {  // the server restarts again and again
    time_.Hear(Beat(epoch, TrueMs() - 2000), clock_.Read().mono);
    EXPECT_EQ(NowMs(), TrueMs());
    clock_.Advance(absl::Seconds(1));
  }
  time_.Hear(Beat(4, TrueMs() - 5), clock_.Read().mono);
  clock_.Advance(ServerTime::kSettle);
  EXPECT_EQ(NowMs(), TrueMs() - 5);
}

TEST_F(ServerTimeTest, JumpsOfTheWallClockDoNotMatter) {
  HearDelayed(absl::ZeroDuration());
  clock_.JumpWall(-absl::Hours(24 * 365));
  EXPECT_EQ(NowMs(), TrueMs());
}

TEST_F(ServerTimeTest, NonsenseTimesAreIgnored) {
  HearDelayed(absl::ZeroDuration());
  v1::ServerBeat beat;
  beat.set_server_epoch(2);
  beat.set_steady_unix_ms(~uint64_t{0});
  time_.Hear(beat, clock_.Read().mono);
  EXPECT_EQ(NowMs(), TrueMs());
}

}  // namespace
}  // namespace fleet::device
