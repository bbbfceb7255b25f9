#include "common/backoff.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

TEST(Backoff, PausesDoubleUpToTheMaximumWithinTheirJitter) {
  Backoff backoff(absl::Milliseconds(100), absl::Milliseconds(1000), 1);
  for (const int whole_ms : {100, 200, 400, 800, 1000, 1000}) {
    const absl::Duration pause = backoff.Next();
    EXPECT_GE(pause, absl::Milliseconds(whole_ms) / 2);
    EXPECT_LE(pause, absl::Milliseconds(whole_ms));
  }
}

TEST(Backoff, ResetBeginsAgainAtTheMinimum) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(10), 1);
  for (int i = 0; i < 5; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

TEST(Backoff, SeedsSpreadTheFleetAndRepeatThemselves) {
  Backoff a(absl::Seconds(1), absl::Seconds(8), 1), same(absl::Seconds(1), absl::Seconds(8), 1);
  Backoff b(absl::Seconds(1), absl::Seconds(8), 2);
  const absl::Duration pause = a.Next();
  EXPECT_EQ(pause, same.Next());
  EXPECT_NE(pause, b.Next());
}

}  // namespace
}  // namespace fleet
