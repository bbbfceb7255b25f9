// Commands and patrol, as FleetState drives them: who may get one, and what becomes of it.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

#include "common/topics.h"
#include "server/patrol.h"
#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

TEST_F(FleetStateTest, PatrolSendsEachEntityOfOnlineDevicesOneSegmentAPeriod) {
  Start({.patrol = absl::Seconds(3)}, {});
  LinkUp();
  Report("a", 1, 1, {1, 2});
  Report("silent", 1, 1, {1});
  Run(absl::Milliseconds(9'100), /*beats=*/true);
  std::map<int64_t, int> commands;
  for (const CommandRow& row : changes_.rows.commands) ++commands[row.device_row];
  EXPECT_EQ(commands, (std::map<int64_t, int>{{device("a").row, 6}}));
}

TEST_F(FleetStateTest, PatrolIsOffByDefaultAndPausesWhileDeaf) {
  LinkUp();
  Report("a", 1, 1);
  Run(absl::Minutes(1), /*beats=*/true);
  EXPECT_TRUE(changes_.rows.commands.empty());
  Start({.patrol = absl::Seconds(3)}, {});
  Report("a", 1, 1);
  Run(absl::Seconds(9), /*beats=*/true, /*probes=*/false);
  EXPECT_TRUE(changes_.rows.commands.empty());
}

TEST_F(FleetStateTest, PatrolKeepsEveryEntityOnTheMap) {
  for (uint32_t id : {0u, 1u, 99u, 100u, UINT32_MAX}) {
    const v1::Segment segment = Patrol::SegmentFor(EntityId{id});
    EXPECT_EQ(segment.entity_id(), id);
    EXPECT_LT(segment.end_x_mm(), 100'000);
    EXPECT_GT(segment.end_speed_mm_s(), 0);
  }
  EXPECT_EQ(Patrol::SegmentFor(EntityId{3}).end_x_mm(), 3000);
  EXPECT_EQ(Patrol::SegmentFor(EntityId{3}).start_speed_mm_s(), 650);
  EXPECT_EQ(Patrol::SegmentFor(EntityId{3}).end_speed_mm_s(), 390);
}

TEST_F(FleetStateTest, SubmitSaysWhyNot) {
  LinkUp();
  Beat("a", 1, 1);
  const auto submit = [&](absl::string_view id, const v1::Segment& segment) {
    return fleet_->Submit(id, segment, {.ttl = absl::Seconds(5)}, clock_, changes_).status();
  };
  EXPECT_TRUE(absl::IsNotFound(submit("nobody", SomeSegment())));
  v1::Segment segment = SomeSegment();
  segment.set_type(v1::SEGMENT_TYPE_UNSPECIFIED);
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment.set_type(static_cast<v1::SegmentType>(99));
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment = SomeSegment();
  segment.set_end_speed_mm_s(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment.set_end_speed_mm_s(0);
  segment.set_start_speed_mm_s(0);
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment.set_type(v1::SEGMENT_TYPE_HOLD);
  EXPECT_TRUE(submit("a", segment).ok());
  Say("a", v1::PRESENCE_OFFLINE, 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(submit("a", SomeSegment())));
}

TEST_F(FleetStateTest, SubmittedCommandIsUrgentAndCarriesTheSteadyTime) {
  LinkUp();
  Beat("a", 1, 1);
  clock_.Advance(absl::Seconds(3));
  clock_.JumpWall(absl::Hours(5));
  changes_.urgent = false;
  SubmitAndSend("a");
  EXPECT_TRUE(changes_.urgent);
  EXPECT_EQ(changes_.rows.commands.back().issued_unix_ms, fleet_->SteadyUnixMs(clock_));
}

TEST_F(FleetStateTest, CommandsOfADeviceThatGoesOfflineAreUnknownAndAskedWhenItIsBack) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  const CommandId lost = SubmitAndSend("a");
  Lose("a", 1);
  EXPECT_EQ(StateOf(lost), v1::COMMAND_STATE_UNKNOWN);
  EXPECT_EQ(fleet_->commands().Find(lost)->steps.back().reason, "device_offline_lost");
  Run(absl::Minutes(1), /*beats=*/false);
  EXPECT_EQ(changes_.commands_due, std::vector<CommandId>{});
  Beat("a", 1, 2);
  EXPECT_EQ(Tick(), std::vector{lost});
  Ack("a", 1, lost, v1::COMMAND_STATE_DONE);
  EXPECT_EQ(StateOf(lost), v1::COMMAND_STATE_DONE);
}

TEST_F(FleetStateTest, ADeviceThatSaysOnlineOrStartsAnewIsAskedAtOnce) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  Ack("a", 1, id, v1::COMMAND_STATE_RUNNING);
  EXPECT_EQ(Tick(), std::vector<CommandId>{});
  Say("a", v1::PRESENCE_ONLINE, 1);
  EXPECT_EQ(Tick(), std::vector{id});
  changes_.publish.clear();
  clock_.Advance(absl::Milliseconds(50));  // sooner than the next beat
  Beat("a", 2, 1);
  EXPECT_EQ(Tick(), std::vector{id});
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_RUNNING) << "a restart is no step: the device tells";
  ASSERT_FALSE(changes_.publish.empty());
  EXPECT_EQ(changes_.publish[0].topic, kServerBeatTopic) << "without it the new life could not judge the age";
}

TEST_F(FleetStateTest, AfterAReconnectOfTheServerEveryOpenCommandIsAsked) {
  LinkUp();
  Beat("a", 1, 1);
  Beat("b", 1, 1);
  const CommandId first = SubmitAndSend("a");
  const CommandId second = SubmitAndSend("b");
  fleet_->LinkDown(clock_, changes_);
  EXPECT_EQ(Tick(), std::vector<CommandId>{});
  fleet_->LinkUp(clock_, changes_);
  EXPECT_EQ(Tick(), (std::vector{first, second}));
}

TEST_F(FleetStateTest, CommandToADeviceThatJustCameOnlineFollowsABeat) {
  LinkUp();
  Run(absl::Seconds(1), /*beats=*/false);
  Say("a", v1::PRESENCE_ONLINE, 1);
  changes_.publish.clear();
  ASSERT_TRUE(fleet_->Submit("a", SomeSegment(), {.ttl = absl::Seconds(5)}, clock_, changes_).ok());
  fleet_->Tick(clock_, changes_);
  ASSERT_FALSE(changes_.publish.empty());
  EXPECT_EQ(changes_.publish[0].topic, kServerBeatTopic);
}

TEST_F(FleetStateTest, AnswersMissedWhileOurLinkWasDownLeaveNoCommandOpenForEver) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  Ack("a", 1, id, v1::COMMAND_STATE_RUNNING);
  fleet_->LinkDown(clock_, changes_);  // "done" is said now, and nobody hears it
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
  EXPECT_EQ(fleet_->commands().Find(id)->steps.back().reason, "server_link_down");
  LinkUp();
  Ack("a", 1, id, v1::COMMAND_STATE_DONE);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_DONE);
}

TEST_F(FleetStateTest, CommandThatTheLinkRefusedDoesNotKeepTheLoopBusyWhileTheLinkIsDown) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = *fleet_->Submit("a", SomeSegment(), {.ttl = absl::Seconds(5)}, clock_, changes_);
  fleet_->Committed(changes_.rows.number, changes_);
  Tick();
  fleet_->LinkDown(clock_, changes_);
  fleet_->Sent(id, false, clock_, changes_);
  Run(absl::Milliseconds(200), /*beats=*/false, /*probes=*/false);
  EXPECT_GT(fleet_->NextDue(), clock_.Read().mono);
  EXPECT_TRUE(changes_.commands_due.empty());
  LinkUp();
  EXPECT_EQ(changes_.commands_due, std::vector{id});
}

TEST_F(FleetStateTest, OpenCommandsOfTheLastRunGoOnWithTheSameIdAndAge) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  SavedFleet saved = Save(changes_.rows);
  saved.open_commands.push_back({.row = changes_.rows.commands[0], .steps = changes_.rows.steps});
  saved.next_command = CommandId{Number(id) + 4096};
  saved.steady_offset_ms = fleet_->SteadyUnixMs(clock_) - clock_.Read().mono.millis();
  const int64_t steady_before = fleet_->SteadyUnixMs(clock_);
  changes_ = {};
  clock_.Advance(absl::Seconds(3));
  clock_.JumpWall(-absl::Hours(1));
  Start({}, saved);
  EXPECT_EQ(fleet_->SteadyUnixMs(clock_), steady_before + 3000) << "whatever the wall clock does";
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_SENT);
  EXPECT_TRUE(changes_.rows.steps.empty());
  LinkUp();
  EXPECT_EQ(changes_.commands_due, std::vector{id});
  EXPECT_EQ(fleet_->commands().Find(id)->row.issued_unix_ms, steady_before) << "the same bytes go out";
  Run(absl::Seconds(3) + absl::Milliseconds(100), /*beats=*/true);
  EXPECT_EQ(fleet_->commands().Find(id)->steps.back().reason, "no_answer");
  Beat("a", 1, 100);
  EXPECT_EQ(SubmitAndSend("a"), CommandId{Number(id) + 4096});
}

TEST_F(FleetStateTest, ASegmentForAnOfflineDeviceWaitsOnlyWhenAskedTo) {
  LinkUp();
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_OFFLINE, 1);
  const auto submit = [&](bool queue) {
    return fleet_->Submit("a", SomeSegment(), {.ttl = absl::Minutes(1), .queue = queue}, clock_, changes_);
  };
  EXPECT_TRUE(absl::IsFailedPrecondition(submit(false).status()));
  const CommandId in_time = *submit(true);
  fleet_->Committed(changes_.rows.number, changes_);
  EXPECT_EQ(Tick(), std::vector<CommandId>{});
  Run(absl::Seconds(50), /*beats=*/false);
  const CommandId late = *submit(true);
  fleet_->Committed(changes_.rows.number, changes_);
  Say("a", v1::PRESENCE_ONLINE, 2);
  Beat("a", 2, 1);
  EXPECT_EQ(Tick(), (std::vector{in_time, late}));
}

TEST_F(FleetStateTest, WhatWaitsForADeviceThatDoesNotComeExpires) {
  LinkUp();
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_OFFLINE, 1);
  const CommandId id = *fleet_->Submit("a", SomeSegment(), {.ttl = absl::Seconds(5), .queue = true}, clock_, changes_);
  fleet_->Committed(changes_.rows.number, changes_);
  Run(absl::Seconds(6), /*beats=*/false);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_EXPIRED);
  EXPECT_TRUE(changes_.commands_due.empty());
}

}  // namespace
}  // namespace fleet::server
