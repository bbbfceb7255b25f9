// Who is online, as FleetState has it: silence, wills, clocks that jump, and a server that was deaf itself.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

using State = LivenessState;
using Reason = OfflineReason;

TEST_F(FleetStateTest, StateBeforeAnyHeartbeatIsKept) {
  LinkUp();
  Report("a", 1, 1, {1, 2});
  EXPECT_EQ(device("a").entities.size(), 2u);
  EXPECT_EQ(status("a").state, State::kUnknown);
  EXPECT_FALSE(device("a").heard);
  Beat("a", 1, 1);
  EXPECT_EQ(status("a").state, State::kOnline);
}

TEST_F(FleetStateTest, DeviceClockAheadOfOursOnlyShowsAsSkew) {
  LinkUp();
  Beat("a", 1, 1, /*clock_ahead_ms=*/3'600'000);
  EXPECT_EQ(device("a").clock_skew_ms, 3'600'000);
  EXPECT_EQ(clock_.Read().mono - device("a").last_heartbeat, absl::ZeroDuration());
  EXPECT_EQ(device("a").last_seen_unix_ms, clock_.Read().unix_ms());
  Run(absl::Seconds(3), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(FleetStateTest, NonsenseTimesOfADeviceDoNoHarm) {
  LinkUp();
  for (uint64_t sent : {uint64_t{0}, UINT64_MAX, uint64_t{1} << 63, (uint64_t{1} << 63) - 1}) {
    v1::Heartbeat heartbeat;
    heartbeat.set_epoch(1);
    heartbeat.set_seq(++beats_);
    heartbeat.set_sent_unix_ms(sent);
    Apply(HeartbeatEvent{"a", &heartbeat});
    EXPECT_EQ(status("a").state, State::kOnline);
  }
}

TEST_F(FleetStateTest, CopyOfAnOldHeartbeatKeepsNobodyAlive) {
  LinkUp();
  Beat("a", 1, 1);
  for (int i = 0; i < 30; ++i) {
    Run(absl::Milliseconds(100), /*beats=*/false);
    Beat("a", 1, 1);
  }
  EXPECT_EQ(status("a").state, State::kOffline);
}

TEST_F(FleetStateTest, WillAndGoodbyeSayWhyADeviceIsOffline) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  Lose("a", 1);
  EXPECT_EQ(status("a").reason, Reason::kLost);
  Beat("a", 1, 2);
  Say("a", v1::PRESENCE_OFFLINE, 1);
  EXPECT_EQ(status("a").reason, Reason::kClean);
}

TEST_F(FleetStateTest, WallClockJumpsOfTheServerChangeNoLiveness) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  changes_.rows.liveness.clear();
  for (absl::Duration jump : {absl::Hours(1), -absl::Hours(2), absl::Hours(24 * 365), -absl::Hours(24 * 366)}) {
    clock_.JumpWall(jump);
    Run(absl::Seconds(3), /*beats=*/true);
  }
  EXPECT_TRUE(changes_.rows.liveness.empty());
}

TEST_F(FleetStateTest, StoppedProcessDeclaresNobodyDead) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  clock_.Advance(absl::Seconds(5));  // SIGSTOP; what came meanwhile is read in one turn, part of it lost
  fleet_->Tick(clock_, changes_);
  Run(absl::Seconds(5), /*beats=*/true);
  EXPECT_EQ(status("a").state, State::kOnline);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline, State::kUnknown, State::kOnline}));
}

TEST_F(FleetStateTest, OwnLinkDownMakesUnknownAndHeartbeatsBringBack) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  fleet_->LinkDown(clock_, changes_);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Minutes(1), /*beats=*/false, /*probes=*/false);
  LinkUp();
  Run(absl::Seconds(5), /*beats=*/true);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline, State::kUnknown, State::kOnline}));
}

TEST_F(FleetStateTest, DeviceSilentSinceOurLinkWasDownIsOfflineTwoSecondsAfterItsReturn) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  fleet_->LinkDown(clock_, changes_);
  Run(absl::Minutes(1), /*beats=*/false, /*probes=*/false);
  LinkUp();
  Run(absl::Milliseconds(1900), /*beats=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Milliseconds(100), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(FleetStateTest, LinkThatSwallowsEverythingMakesUnknownNotOffline) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  Run(absl::Minutes(1), /*beats=*/false, /*probes=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Seconds(3), /*beats=*/true);
  EXPECT_EQ(status("a").state, State::kOnline);
  for (State state : LivenessHistory("a")) EXPECT_NE(state, State::kOffline);
}

TEST_F(FleetStateTest, NextDueNeverLetsADeadlinePass) {
  Start({.patrol = absl::Seconds(3)}, {});
  LinkUp();
  Beat("a", 1, 1);
  // Turns only when something is due or a probe comes back: the device must go stale and offline on time.
  const MonoTime began = clock_.Read().mono;
  while (status("a").state != State::kOffline) {
    const MonoTime due = fleet_->NextDue();
    ASSERT_GE(due, clock_.Read().mono);
    ASSERT_LE(due, began + absl::Seconds(3));
    clock_.Advance(due - clock_.Read().mono);
    fleet_->MessageArrived(clock_);
    fleet_->Tick(clock_, changes_);
    ASSERT_GT(fleet_->NextDue(), clock_.Read().mono) << "a loop that follows NextDue would spin";
  }
  EXPECT_EQ(clock_.Read().mono, began + absl::Seconds(2));
}

TEST_F(FleetStateTest, RestartRemembersAllAndDeclaresNobodyDead) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1);
  Report("a", 1, 1, {1, 2});
  Run(absl::Seconds(5), /*beats=*/true);
  fleet_->Flush(changes_);
  SavedFleet saved = Save(changes_.rows);
  saved.server_epoch = 2;
  changes_ = {};
  clock_.Advance(absl::Minutes(10));
  beats_ += 1200;  // sent while nobody listened
  Start({}, saved);
  EXPECT_EQ(device("a").entities.size(), 2u);
  EXPECT_EQ(device("a").version, "1.2.3");
  EXPECT_EQ(status("a").state, State::kUnknown);
  LinkUp();
  Run(absl::Seconds(5), /*beats=*/true);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline}));
  EXPECT_EQ(device("a").heartbeats.missing(), 1200u);
  EXPECT_EQ(device("a").states.missing(), 0u);
}

TEST_F(FleetStateTest, DeviceThatDiedDuringTheRestartIsOfflineTwoSecondsAfterHearing) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  fleet_->Flush(changes_);
  SavedFleet saved = Save(changes_.rows);
  Start({}, saved);
  LinkUp();
  Run(absl::Milliseconds(1900), /*beats=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Milliseconds(100), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(FleetStateTest, DeviceOnlyEverHeardOfIsUnknown) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Run(absl::Minutes(1), /*beats=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  EXPECT_TRUE(LivenessHistory("a").empty());
}

TEST_F(FleetStateTest, FailSafeIsWhatTheDeviceSaidLastAndIsShownAtOnce) {
  LinkUp();
  Beat("a", 1, 1);
  for (bool fail_safe : {true, false}) {
    changes_.rows.devices.clear();
    v1::Status said;
    said.set_presence(v1::PRESENCE_ONLINE);
    said.set_epoch(1);
    said.set_started_unix_ms(1);
    said.set_fail_safe(fail_safe);
    Apply(StatusEvent{"a", &said});
    EXPECT_EQ(device("a").in_fail_safe(), fail_safe);
    EXPECT_EQ(changes_.rows.devices.size(), 1u) << "a row is what watchers see";
  }
}

}  // namespace
}  // namespace fleet::server
