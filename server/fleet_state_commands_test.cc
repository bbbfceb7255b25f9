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
    return fleet_->Submit(id, segment, absl::Seconds(5), clock_, changes_).status();
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

TEST_F(FleetStateTest, CommandsOfADeviceThatGoesOfflineOrStartsAnewAreUnknown) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  const CommandId lost = SubmitAndSend("a");
  Lose("a", 1);
  EXPECT_EQ(StateOf(lost), v1::COMMAND_STATE_UNKNOWN);
  EXPECT_EQ(fleet_->commands().Find(lost)->steps.back().reason, "device_offline_lost");
  Beat("a", 1, 2);
  const CommandId restarted = SubmitAndSend("a");
  Beat("a", 2, 1);
  EXPECT_EQ(fleet_->commands().Find(restarted)->steps.back().reason, "device_restarted");
}

TEST_F(FleetStateTest, CommandToADeviceThatJustCameOnlineFollowsABeat) {
  LinkUp();
  Run(absl::Seconds(1), /*beats=*/false);
  Say("a", v1::PRESENCE_ONLINE, 1);
  changes_.publish.clear();
  ASSERT_TRUE(fleet_->Submit("a", SomeSegment(), absl::Seconds(5), clock_, changes_).ok());
  fleet_->Tick(clock_, changes_);
  ASSERT_FALSE(changes_.publish.empty());
  EXPECT_EQ(changes_.publish[0].topic, kServerBeatTopic);
}

TEST_F(FleetStateTest, SecondWillEndsWhatWasHeardSinceTheFirst) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  Lose("a", 1);
  Say("a", v1::PRESENCE_ONLINE, 1);  // back, and lost again before a heartbeat got through
  Ack("a", 1, id, v1::COMMAND_STATE_RUNNING);
  ASSERT_EQ(StateOf(id), v1::COMMAND_STATE_RUNNING);
  Say("a", v1::PRESENCE_LOST, 1);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
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
  const CommandId id = *fleet_->Submit("a", SomeSegment(), absl::Seconds(5), clock_, changes_);
  fleet_->Committed(changes_.rows.number, changes_);
  fleet_->LinkDown(clock_, changes_);
  fleet_->Sent(id, false, clock_, changes_);
  Run(absl::Milliseconds(200), /*beats=*/false, /*probes=*/false);
  EXPECT_GT(fleet_->NextDue(), clock_.Read().mono);
  changes_.commands_due.clear();
  LinkUp();
  EXPECT_EQ(changes_.commands_due, std::vector{id});
}

TEST_F(FleetStateTest, OpenCommandsOfTheLastRunAreSettledAtStart) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  SavedFleet saved = Save(changes_.rows);
  saved.open_commands.push_back({.row = changes_.rows.commands[0], .steps = changes_.rows.steps});
  saved.next_command = CommandId{Number(id) + 1};
  changes_ = {};
  Start({}, saved);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
  ASSERT_EQ(changes_.rows.steps.size(), 1u) << "and the store hears of it";
  LinkUp();
  Beat("a", 1, 2);
  EXPECT_EQ(SubmitAndSend("a"), CommandId{Number(id) + 1});
}

}  // namespace
}  // namespace fleet::server
