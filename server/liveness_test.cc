#include "server/liveness.h"

#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace fleet::server {
namespace {

using State = LivenessState;
using Reason = OfflineReason;

constexpr absl::Duration kJustUnder = absl::Nanoseconds(1);

// One device in a server that has been hearing for a while.
class LivenessTest : public testing::Test {
 protected:
  void SetUp() override {
    liveness_.Hearing(clock_.Read().mono);
    Pass(absl::Seconds(2));
  }

  void Beat() { liveness_.Heard(device_, clock_.Read().mono, changes_); }
  void Pass(absl::Duration d) {
    clock_.Advance(d);
    liveness_.Tick(clock_.Read().mono, changes_);
  }
  void Leave(Reason how) {
    if (how == Reason::kClean) return liveness_.SaidGoodbye(device_, changes_);
    liveness_.WillArrived(device_, clock_.Read().mono);
    Pass(Liveness::kWillConfirm);
  }
  State state() const { return liveness_.status(device_).state; }
  Reason reason() const { return liveness_.status(device_).reason; }

  FakeClock clock_;
  Liveness liveness_{LivenessOptions{}};
  Liveness::Changes changes_;
  const DeviceIndex device_ = liveness_.Add();
};

TEST_F(LivenessTest, NewDeviceIsUnknown) {
  EXPECT_EQ(state(), State::kUnknown);
  EXPECT_EQ(liveness_.count(State::kUnknown), 1u);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(LivenessTest, HeartbeatBringsUnknownOnline) {
  Beat();
  EXPECT_EQ(state(), State::kOnline);
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].status.state, State::kOnline);
}

TEST_F(LivenessTest, FurtherHeartbeatsAreNoChange) {
  Beat();
  changes_.clear();
  for (int i = 0; i < 10; ++i) {
    Pass(absl::Milliseconds(500));
    Beat();
  }
  EXPECT_TRUE(changes_.empty());
}

TEST_F(LivenessTest, StaleAfterExactlyOneSecond) {
  Beat();
  Pass(absl::Seconds(1) - kJustUnder);
  EXPECT_EQ(state(), State::kOnline);
  Pass(kJustUnder);
  EXPECT_EQ(state(), State::kStale);
}

TEST_F(LivenessTest, OfflineSilentAfterExactlyTwoSeconds) {
  Beat();
  Pass(absl::Seconds(2) - kJustUnder);
  EXPECT_EQ(state(), State::kStale);
  Pass(kJustUnder);
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(reason(), Reason::kSilent);
}

TEST_F(LivenessTest, LongSilenceInOneTickPassesThroughStale) {
  Beat();
  changes_.clear();
  Pass(absl::Seconds(10));
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(changes_[0].status.state, State::kStale);
  EXPECT_EQ(changes_[1].status.state, State::kOffline);
}

TEST_F(LivenessTest, LateHeartbeatBringsStaleDeviceBackOnline) {
  Beat();
  Pass(absl::Milliseconds(1500));
  Beat();
  EXPECT_EQ(state(), State::kOnline);
  Pass(absl::Milliseconds(999));
  EXPECT_EQ(state(), State::kOnline);
}

TEST_F(LivenessTest, HeartbeatBringsOfflineDeviceBackOnline) {
  for (Reason left : {Reason::kClean, Reason::kLost}) {
    Beat();
    Leave(left);
    EXPECT_EQ(reason(), left);
    Beat();
    EXPECT_EQ(state(), State::kOnline);
    EXPECT_EQ(reason(), Reason::kNone);
  }
}

TEST_F(LivenessTest, GoodbyeActsAtOnce) {
  Beat();
  liveness_.SaidGoodbye(device_, changes_);
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(reason(), Reason::kClean);
}

TEST_F(LivenessTest, WillActsWhenConfirmed) {
  Beat();
  liveness_.WillArrived(device_, clock_.Read().mono);
  EXPECT_EQ(liveness_.NextDue(), clock_.Read().mono + Liveness::kWillConfirm);
  Pass(Liveness::kWillConfirm - kJustUnder);
  EXPECT_EQ(state(), State::kOnline);
  Pass(kJustUnder);
  EXPECT_EQ(reason(), Reason::kLost);
}

TEST_F(LivenessTest, HeartbeatAfterAWillTakesItBack) {
  Beat();
  liveness_.WillArrived(device_, clock_.Read().mono);
  Beat();
  Pass(Liveness::kWillConfirm);
  EXPECT_EQ(state(), State::kOnline);
}

TEST_F(LivenessTest, WillsOfABrokerThatStopsDoNotCount) {
  Beat();
  liveness_.WillArrived(device_, clock_.Read().mono);
  liveness_.Deaf(changes_);
  Pass(Liveness::kWillConfirm);
  liveness_.Hearing(clock_.Read().mono);
  Pass(absl::Milliseconds(1900));
  EXPECT_EQ(state(), State::kUnknown);
}

TEST_F(LivenessTest, StoredWillWaitsUntilItsDeviceHadTimeToComeBack) {
  liveness_.Deaf(changes_);
  liveness_.WillArrived(device_, clock_.Read().mono);  // the broker had it stored, before the first other message
  liveness_.Hearing(clock_.Read().mono);
  Pass(absl::Milliseconds(1900));
  EXPECT_EQ(state(), State::kUnknown);
  Pass(absl::Milliseconds(100));
  EXPECT_EQ(reason(), Reason::kLost);
}

TEST_F(LivenessTest, WillOfADeviceNeverHeardSaysThatItIsOffline) {
  Leave(Reason::kLost);
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(reason(), Reason::kLost);
}

TEST_F(LivenessTest, WillExplainsASilence) {
  Beat();
  Pass(absl::Seconds(3));
  ASSERT_EQ(reason(), Reason::kSilent);
  Leave(Reason::kLost);
  EXPECT_EQ(reason(), Reason::kLost);
}

TEST_F(LivenessTest, WillDoesNotOverruleAGoodbye) {
  Beat();
  Leave(Reason::kClean);
  Leave(Reason::kLost);
  EXPECT_EQ(reason(), Reason::kClean);
}

TEST_F(LivenessTest, OfflineDeviceStaysAsItIsInSilence) {
  Beat();
  Leave(Reason::kClean);
  changes_.clear();
  Pass(absl::Hours(1));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(LivenessTest, NeverHeardStaysUnknown) {
  Pass(absl::Hours(1));
  EXPECT_EQ(state(), State::kUnknown);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(LivenessTest, NothingIsDueAfterADeviceWentOffline) {
  Pass(absl::Seconds(2));
  Beat();
  EXPECT_EQ(liveness_.NextDue(), clock_.Read().mono + absl::Seconds(1));
  Pass(absl::Seconds(1));
  EXPECT_EQ(liveness_.NextDue(), clock_.Read().mono + absl::Seconds(1));
  Pass(absl::Seconds(1));
  EXPECT_EQ(liveness_.NextDue(), MonoTime::Max());
}

TEST_F(LivenessTest, DeafnessMakesOnlineAndStaleUnknownAndNothingElse) {
  const DeviceIndex stale = liveness_.Add();
  const DeviceIndex offline = liveness_.Add();
  liveness_.Heard(stale, clock_.Read().mono, changes_);
  liveness_.SaidGoodbye(offline, changes_);
  Pass(absl::Milliseconds(1500));
  Beat();
  liveness_.Deaf(changes_);
  EXPECT_EQ(state(), State::kUnknown);
  EXPECT_EQ(liveness_.status(stale).state, State::kUnknown);
  EXPECT_EQ(liveness_.status(offline).reason, Reason::kClean);
  EXPECT_EQ(liveness_.count(State::kUnknown), 2u);
}

TEST_F(LivenessTest, NobodyIsDeclaredDeadWhileDeaf) {
  Beat();
  liveness_.Deaf(changes_);
  Pass(absl::Hours(1));
  EXPECT_EQ(state(), State::kUnknown);
  EXPECT_EQ(liveness_.NextDue(), MonoTime::Max());
}

TEST_F(LivenessTest, SilentOneIsOfflineTwoSecondsAfterHearingReturns) {
  Beat();
  liveness_.Deaf(changes_);
  Pass(absl::Minutes(1));
  liveness_.Hearing(clock_.Read().mono);
  EXPECT_EQ(liveness_.NextDue(), clock_.Read().mono + absl::Seconds(2));
  Pass(absl::Seconds(2) - kJustUnder);
  EXPECT_EQ(state(), State::kUnknown);
  Pass(kJustUnder);
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(reason(), Reason::kSilent);
}

TEST_F(LivenessTest, OneThatIsHeardInTimeIsNeverOffline) {
  Beat();
  liveness_.Deaf(changes_);
  Pass(absl::Minutes(1));
  changes_.clear();
  liveness_.Hearing(clock_.Read().mono);
  Pass(absl::Milliseconds(1900));
  Beat();
  Pass(absl::Milliseconds(500));
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].status.state, State::kOnline);
}

TEST_F(LivenessTest, HearingAgainAndAgainDoesNotPutOffTheVerdict) {
  Beat();
  liveness_.Deaf(changes_);
  liveness_.Hearing(clock_.Read().mono);
  for (int i = 0; i < 20; ++i) {
    Pass(absl::Milliseconds(100));
    liveness_.Hearing(clock_.Read().mono);
  }
  EXPECT_EQ(state(), State::kOffline);
}

TEST_F(LivenessTest, DeafAgainBeforeTheVerdictPutsItOff) {
  Beat();
  liveness_.Deaf(changes_);
  liveness_.Hearing(clock_.Read().mono);
  Pass(absl::Milliseconds(1500));
  liveness_.Deaf(changes_);
  Pass(absl::Milliseconds(1000));
  liveness_.Hearing(clock_.Read().mono);
  Pass(absl::Milliseconds(1900));
  EXPECT_EQ(state(), State::kUnknown);
  Pass(absl::Milliseconds(100));
  EXPECT_EQ(state(), State::kOffline);
}

TEST_F(LivenessTest, TwoThatTakeTurnsAreOneThatIsOnlineAsLongAsEitherSpeaks) {
  Beat();
  changes_.clear();
  liveness_.SetReplaced(device_, true, changes_);
  for (int i = 0; i < 20; ++i) {
    liveness_.WillArrived(device_, clock_.Read().mono);
    Pass(absl::Milliseconds(950));
    liveness_.SaidGoodbye(device_, changes_);
    Pass(absl::Milliseconds(950));
    Beat();
  }
  liveness_.SetReplaced(device_, false, changes_);
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(changes_[0].status.state, State::kOnline);
  EXPECT_EQ(changes_[0].status.reason, Reason::kReplaced);
  EXPECT_EQ(changes_[1].status.state, State::kOnline);
  EXPECT_EQ(changes_[1].status.reason, Reason::kNone);
}

TEST_F(LivenessTest, TwoThatTakeTurnsAreOfflineWhenNeitherSpeaks) {
  Beat();
  liveness_.SetReplaced(device_, true, changes_);
  Pass(absl::Seconds(2) - kJustUnder);
  EXPECT_EQ(reason(), Reason::kReplaced);
  EXPECT_EQ(liveness_.NextDue(), clock_.Read().mono + kJustUnder);
  Pass(kJustUnder);
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(reason(), Reason::kSilent);
  Leave(Reason::kLost);
  EXPECT_EQ(reason(), Reason::kLost) << "then a will explains it";
  Beat();
  EXPECT_EQ(reason(), Reason::kReplaced);
}

TEST_F(LivenessTest, AWillThatWaitsIsTakenBack) {
  Beat();
  liveness_.WillArrived(device_, clock_.Read().mono);
  liveness_.TakeBackWill(device_);
  Pass(Liveness::kWillConfirm);
  EXPECT_EQ(state(), State::kOnline);
}

TEST(LivenessAfterRestart, LivingStatesAreNotBelievedAndDeadOnesAre) {
  Liveness liveness{LivenessOptions{}};
  const DeviceIndex online = liveness.Add(true, {State::kOnline, Reason::kNone});
  const DeviceIndex stale = liveness.Add(true, {State::kStale, Reason::kNone});
  const DeviceIndex offline = liveness.Add(true, {State::kOffline, Reason::kLost});
  EXPECT_EQ(liveness.status(online).state, State::kUnknown);
  EXPECT_EQ(liveness.status(stale).state, State::kUnknown);
  EXPECT_EQ(liveness.status(offline).state, State::kOffline);
  EXPECT_EQ(liveness.status(offline).reason, Reason::kLost);
}

TEST(LivenessAfterRestart, OnlyThoseHeardBeforeAreDeclaredOfflineAndOnlyAfterTwoSecondsOfHearing) {
  FakeClock clock;
  Liveness liveness{LivenessOptions{}};
  Liveness::Changes changes;
  const DeviceIndex heard_before = liveness.Add(true, {State::kOnline, Reason::kNone});
  const DeviceIndex never_heard = liveness.Add(false, {});
  clock.Advance(absl::Seconds(30));  // no link yet
  liveness.Tick(clock.Read().mono, changes);
  EXPECT_TRUE(changes.empty());
  liveness.Hearing(clock.Read().mono);
  clock.Advance(absl::Seconds(2));
  liveness.Tick(clock.Read().mono, changes);
  EXPECT_EQ(liveness.status(heard_before).reason, Reason::kSilent);
  EXPECT_EQ(liveness.status(never_heard).state, State::kUnknown);
}

TEST(LivenessNames, RoundTrip) {
  for (State state : {State::kUnknown, State::kOnline, State::kStale, State::kOffline}) {
    EXPECT_EQ(ParseLivenessState(Name(state)), state);
  }
  for (Reason reason : {Reason::kNone, Reason::kClean, Reason::kLost, Reason::kSilent, Reason::kReplaced}) {
    EXPECT_EQ(ParseOfflineReason(Name(reason)), reason);
  }
  EXPECT_EQ(ParseLivenessState("no such state"), State::kUnknown);
}

}  // namespace
}  // namespace fleet::server
