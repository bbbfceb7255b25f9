#include "server/hearing.h"

#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace fleet::server {
namespace {

class HearingTest : public testing::Test {
 protected:
  void Message() { hearing_.Message(clock_.Read().mono); }
  // Turns every 100 ms, with or without a message in each.
  void Run(absl::Duration d, bool messages) {
    for (absl::Duration done; done < d; done += absl::Milliseconds(100)) {
      clock_.Advance(absl::Milliseconds(100));
      if (messages) Message();
      hearing_.Tick(clock_.Read().mono);
    }
  }

  FakeClock clock_;
  Hearing hearing_;
};

TEST_F(HearingTest, ConnectedIsNotYetHearing) {
  hearing_.LinkUp(clock_.Read().mono);
  EXPECT_TRUE(hearing_.link_up());
  EXPECT_FALSE(hearing_.hears());
  Message();
  EXPECT_TRUE(hearing_.hears());
}

TEST_F(HearingTest, MessageBeforeTheLinkIsUpProvesNothing) {
  Message();
  EXPECT_FALSE(hearing_.hears());
}

TEST_F(HearingTest, LinkDownIsDeafAtOnceEvenWhenOldMessagesFollow) {
  hearing_.LinkUp(clock_.Read().mono);
  Message();
  hearing_.LinkDown();
  EXPECT_FALSE(hearing_.hears());
  EXPECT_FALSE(hearing_.link_up());
  Message();
  EXPECT_FALSE(hearing_.hears());
}

TEST_F(HearingTest, SilenceOfMoreThanASecondIsDeafnessAndAMessageEndsIt) {
  hearing_.LinkUp(clock_.Read().mono);
  Run(absl::Seconds(1), true);
  EXPECT_TRUE(hearing_.hears());
  Run(absl::Seconds(1), false);
  EXPECT_TRUE(hearing_.hears());
  Run(absl::Milliseconds(100), false);
  EXPECT_FALSE(hearing_.hears());
  Run(absl::Milliseconds(100), true);
  EXPECT_TRUE(hearing_.hears());
}

TEST_F(HearingTest, TurnAfterALongSleepIsDeafDespiteTheBacklogItReads) {
  hearing_.LinkUp(clock_.Read().mono);
  Run(absl::Seconds(1), true);
  clock_.Advance(absl::Seconds(5));
  Message();
  hearing_.Tick(clock_.Read().mono);
  EXPECT_FALSE(hearing_.hears());
  Run(absl::Milliseconds(100), true);
  EXPECT_TRUE(hearing_.hears());
}

TEST_F(HearingTest, LongWaitForTheLinkIsNoSleep) {
  clock_.Advance(absl::Minutes(5));
  hearing_.LinkUp(clock_.Read().mono);
  Message();
  hearing_.Tick(clock_.Read().mono);
  EXPECT_TRUE(hearing_.hears());
}

TEST_F(HearingTest, DeafnessIsKnownBeforeAnyDeviceCouldBeDeclaredOffline) {
  EXPECT_LE(Hearing::kDeafAfter * 2, absl::Seconds(2));
  EXPECT_LE(Hearing::kProbePeriod * 4, Hearing::kDeafAfter);
}

}  // namespace
}  // namespace fleet::server
