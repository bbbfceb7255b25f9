// Which life of an agent speaks, and two agents with one id.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

using State = LivenessState;
using Reason = OfflineReason;

TEST_F(FleetStateTest, WillOfAnEarlierLifeDoesNotKillTheNewOne) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_ONLINE, 2, 200);
  Beat("a", 2, 1);
  Say("a", v1::PRESENCE_LOST, 1, 100);
  EXPECT_EQ(status("a").state, State::kOnline);
  EXPECT_EQ(device("a").epoch, 2u);
  EXPECT_EQ(fleet_->counters().stale_epoch, 1u);
}

TEST_F(FleetStateTest, WillOfAnotherStartInTheSameEpochDoesNotKill) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Say("a", v1::PRESENCE_ONLINE, 1, 100);  // two agents that lost their disks, or one that lost it twice
  Say("a", v1::PRESENCE_ONLINE, 1, 200);
  Beat("a", 1, 1);
  for (v1::Presence gone : {v1::PRESENCE_LOST, v1::PRESENCE_OFFLINE}) {
    Say("a", gone, 1, 100);
    Run(absl::Milliseconds(200), /*beats=*/false);
    EXPECT_EQ(status("a").state, State::kOnline);
  }
  EXPECT_EQ(fleet_->counters().stale_epoch, 2u);
}

TEST_F(FleetStateTest, WillThatWaitsDoesNotKillTheLifeThatBeganMeanwhile) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_LOST, 1, 100);
  Say("a", v1::PRESENCE_ONLINE, 2, 200);
  Run(absl::Milliseconds(500), /*beats=*/false);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline}));
}

TEST_F(FleetStateTest, WillOfALifeNeverHeardCounts) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_LOST, 2, 200);  // it restarted and died while nobody listened
  Run(absl::Milliseconds(200), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kLost);
  EXPECT_EQ(device("a").epoch, 2u);
}

// The broker was killed and has forgotten what it was told since it last saved.
class StoredStatus : public FleetStateTest {
 protected:
  void SetUp() override {
    LinkUp();
    Say("a", v1::PRESENCE_ONLINE, 1, 100);
    Beat("a", 1, 1);
    Say("a", v1::PRESENCE_ONLINE, 2, 200);
    Beat("a", 2, 1);
  }
  void Stored(uint32_t epoch, uint64_t started_unix_ms) {
    v1::Status status;
    status.set_presence(v1::PRESENCE_ONLINE);
    status.set_epoch(epoch);
    status.set_started_unix_ms(started_unix_ms);
    Apply(StatusEvent{"a", &status, /*retained=*/true});
  }
};

TEST_F(StoredStatus, OfAnOldLifeIsNotBelieved) {
  Stored(1, 100);
  EXPECT_EQ(device("a").started_unix_ms, 200u);
  EXPECT_FALSE(device("a").clone_alarm);
  Beat("a", 2, 2);
  EXPECT_EQ(device("a").heartbeats.missing(), 0u);
}

// Its disk did not take the new number, and its clock went back: what it numbers now must not be taken for what it had.
TEST_F(StoredStatus, OfAnotherLifeOfTheSameNumberIsBelieved) {
  Stored(2, 150);
  EXPECT_EQ(device("a").started_unix_ms, 150u);
  EXPECT_FALSE(device("a").clone_alarm);
}

TEST_F(StoredStatus, OfANewLifeIsBelieved) {
  Stored(3, 300);
  EXPECT_EQ(device("a").epoch, 3u);
  Stored(3, 400);  // the agent lost its disk meanwhile
  EXPECT_EQ(device("a").started_unix_ms, 400u);
}

TEST_F(StoredStatus, ThatGoesBackIsBelievedWhenTheDeviceSpeaks) {
  Stored(1, 900);  // it lost its disk while nobody listened
  EXPECT_EQ(device("a").epoch, 2u);
  Beat("a", 1, 5);
  EXPECT_EQ(device("a").epoch, 1u);
  EXPECT_EQ(device("a").started_unix_ms, 900u);
  EXPECT_EQ(fleet_->counters().stale_epoch, 0u);
}

// Two agents with one id, each of which takes the connection from the other.
class TwoClones : public FleetStateTest {
 protected:
  void SetUp() override {
    LinkUp();
    Run(absl::Seconds(3), /*beats=*/false);
  }
  // The broker publishes the will of the one that was connected, then the other one speaks for a while.
  void TakesOver(const Life& life, absl::Duration speaks) {
    if (connected_.epoch != 0) Say("a", v1::PRESENCE_LOST, connected_.epoch, connected_.started_unix_ms);
    connected_ = life;
    Say("a", v1::PRESENCE_ONLINE, life.epoch, life.started_unix_ms);
    for (absl::Duration spoken; spoken < speaks; spoken += absl::Milliseconds(500)) {
      Beat("a", life.epoch, ++seqs_[life.started_unix_ms]);
      Run(absl::Milliseconds(500), /*beats=*/false);
    }
  }
  std::vector<std::pair<State, Reason>> History() const {
    std::vector<std::pair<State, Reason>> all;
    for (const LivenessRow& row : changes_.rows.liveness) all.emplace_back(row.status.state, row.status.reason);
    return all;
  }

  const Life one_{.epoch = 7, .started_unix_ms = 100};
  const Life other_{.epoch = 2, .started_unix_ms = 200};
  Life connected_;
  std::map<uint64_t, uint32_t> seqs_;
};

TEST_F(TwoClones, AreOneAlarmAndNoFlapping) {
  for (int turn = 0; turn < 40; ++turn) TakesOver(turn % 2 == 0 ? one_ : other_, absl::Milliseconds(1500));
  EXPECT_TRUE(device("a").clone_alarm);
  EXPECT_EQ(status("a").reason, Reason::kReplaced);
  EXPECT_EQ(History(), (std::vector<std::pair<State, Reason>>{{State::kOnline, Reason::kNone},
                                                              {State::kOnline, Reason::kReplaced}}));
  EXPECT_EQ(device("a").heartbeats.missing(), 0u);
}

TEST_F(TwoClones, OfTheSameEpochAreAnAlarmToo) {
  const Life copy{.epoch = one_.epoch, .started_unix_ms = 300};
  for (int turn = 0; turn < 3; ++turn) TakesOver(turn % 2 == 0 ? one_ : copy, absl::Seconds(1));
  EXPECT_TRUE(device("a").clone_alarm);
}

TEST_F(TwoClones, TheAlarmEndsThirtySecondsAfterTheLastReturn) {
  for (const Life& life : {one_, other_, one_}) TakesOver(life, absl::ZeroDuration());
  const MonoTime returned = clock_.Read().mono;
  while (device("a").clone_alarm) {
    ASSERT_LE(clock_.Read().mono, returned + FleetState::kCloneAlarm);
    ASSERT_LE(fleet_->NextDue(), returned + FleetState::kCloneAlarm);
    Beat("a", one_.epoch, ++seqs_[one_.started_unix_ms]);
    Run(absl::Milliseconds(100), /*beats=*/false);
  }
  EXPECT_EQ(clock_.Read().mono, returned + FleetState::kCloneAlarm);
  EXPECT_EQ(History(), (std::vector<std::pair<State, Reason>>{{State::kOnline, Reason::kReplaced},
                                                              {State::kOnline, Reason::kNone}}));
}

TEST_F(TwoClones, AreOfflineWhenBothFallSilent) {
  for (const Life& life : {one_, other_, one_}) TakesOver(life, absl::Milliseconds(500));
  Run(absl::Seconds(2), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(TwoClones, LateHeartbeatsOfEitherAreHeard) {
  for (const Life& life : {one_, other_, one_}) TakesOver(life, absl::Milliseconds(500));
  for (int i = 0; i < 10; ++i) {  // without a word of who has come back
    Run(absl::Milliseconds(1500), /*beats=*/false);
    const Life& life = i % 2 == 0 ? other_ : one_;
    Beat("a", life.epoch, ++seqs_[life.started_unix_ms]);
    EXPECT_EQ(device("a").epoch, life.epoch);
  }
  EXPECT_EQ(status("a").reason, Reason::kReplaced);
}

TEST_F(TwoClones, AnAgentThatLostItsDiskIsNoCloneAndTheOldOneDoesNotComeBackByAccident) {
  TakesOver(one_, absl::Seconds(1));
  TakesOver({.epoch = 1, .started_unix_ms = 900}, absl::Seconds(1));
  Beat("a", one_.epoch, 50);  // was still on its way
  EXPECT_EQ(device("a").epoch, 1u);
  EXPECT_FALSE(device("a").clone_alarm);
  EXPECT_EQ(fleet_->counters().stale_epoch, 1u);
}

TEST_F(TwoClones, GetNoCommands) {
  for (const Life& life : {one_, other_, one_}) TakesOver(life, absl::Milliseconds(500));
  const auto id = fleet_->Submit("a", SomeSegment(), {.ttl = absl::Seconds(5)}, clock_, changes_);
  EXPECT_TRUE(absl::IsFailedPrecondition(id.status())) << id.status();
  v1::Cancel stop;
  stop.set_stop(true);
  EXPECT_TRUE(fleet_->CancelOn("a", stop, absl::Seconds(5), clock_, changes_).ok()) << "but a stop is for both";
}

TEST_F(TwoClones, AreNotBothAskedForTheSameSegment) {
  TakesOver(one_, absl::Seconds(1));
  TakesOver(other_, absl::Seconds(1));
  ASSERT_TRUE(fleet_->Submit("a", SomeSegment(), {.ttl = absl::Minutes(1)}, clock_, changes_).ok());
  TakesOver(one_, absl::ZeroDuration());
  fleet_->Committed(changes_.rows.number, changes_);
  Run(absl::Seconds(1), /*beats=*/false);
  EXPECT_TRUE(changes_.commands_due.empty());
}

}  // namespace
}  // namespace fleet::server
