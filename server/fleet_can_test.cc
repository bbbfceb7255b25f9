// Commands to CAN buses, as FleetState gives them and takes them back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing/can_messages.h"
#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTtl = absl::Seconds(5);

class FleetCanTest : public FleetStateTest {
 protected:
  FleetCanTest() {
    LinkUp();
    Beat("a", 1, 1);
  }
  absl::StatusOr<CommandId> Submit(const CommandBody& body) {
    return fleet_->Submit("a", body, {.ttl = kTtl}, clock_, changes_);
  }
  // It has been sent when this returns.
  CommandId Give(const CommandBody& body) {
    const CommandId id = *Submit(body);
    fleet_->Committed(changes_.rows.number, changes_);
    for (CommandId due : Tick()) fleet_->Sent(due, true, clock_, changes_);
    return id;
  }
  void GoOffline() { Say("a", v1::PRESENCE_OFFLINE, 1); }
};

TEST_F(FleetCanTest, EachKindIsStoredThenSent) {
  for (const CommandBody& body : {CommandBody(SendOf({"123#1122"})), CommandBody(TapOf({})), CommandBody(ClearOf())}) {
    const auto id = Submit(body);
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_TRUE(changes_.urgent);
    EXPECT_THAT(Tick(), IsEmpty()) << "not stored yet";
    fleet_->Committed(changes_.rows.number, changes_);
    EXPECT_THAT(Tick(), ElementsAre(*id));
    EXPECT_EQ(fleet_->commands().Find(*id)->row.body.index(), body.index());
  }
}

TEST_F(FleetCanTest, WhatCannotBeIsRefusedBeforeItIsACommand) {
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(SendOf({"123#"}, "no bus")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(TapOf({}, 0)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(ClearOf("")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(v1::Cancel()).status()));
  EXPECT_THAT(changes_.rows.commands, IsEmpty());
}

TEST_F(FleetCanTest, ADeviceThatIsOfflineOrUnknownGetsNone) {
  EXPECT_TRUE(absl::IsNotFound(fleet_->Submit("b", TapOf({}), {.ttl = kTtl}, clock_, changes_).status()));
  GoOffline();
  const absl::Status status = Submit(TapOf({})).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("offline (clean)"));
}

TEST_F(FleetCanTest, OfTwoDevicesWithOneIdNeitherGetsOne) {
  Beat("a", 2, 1);
  Say("a", v1::PRESENCE_ONLINE, 1);  // a life that was left
  ASSERT_TRUE(device("a").clone_alarm);
  EXPECT_THAT(std::string(Submit(SendOf({"123#"})).status().message()), HasSubstr("two devices use the id"));
}

TEST_F(FleetCanTest, TakingBackAVehiclesMotionLeavesItsTaps) {
  const CommandId tap = Give(TapOf({}));
  const CommandId unsent = *Submit(SendOf({"123#"}));
  v1::Cancel all;
  all.set_device(true);
  ASSERT_TRUE(fleet_->CancelOn("a", all, kTtl, clock_, changes_).ok());
  v1::Cancel stop;
  stop.set_stop(true);
  ASSERT_TRUE(fleet_->CancelOn("a", stop, kTtl, clock_, changes_).ok());
  EXPECT_EQ(StateOf(tap), v1::COMMAND_STATE_SENT);
  EXPECT_EQ(StateOf(unsent), v1::COMMAND_STATE_QUEUED);
}

TEST_F(FleetCanTest, ATapIsTakenBackByItsId) {
  const CommandId tap = Give(TapOf({}));
  Ack("a", 1, tap, v1::COMMAND_STATE_RUNNING);
  const auto cancelled = fleet_->CancelCommand(tap, kTtl, clock_, changes_);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(std::get<v1::Cancel>(fleet_->commands().Find(*cancelled->sent)->row.body).command_id(), Number(tap));
  const CommandId unsent = *Submit(SendOf({"123#"}));
  EXPECT_THAT(fleet_->CancelCommand(unsent, kTtl, clock_, changes_)->ended, ElementsAre(unsent));
}

TEST_F(FleetCanTest, AStopOfAllDoesNotNameADeviceThatIsOfflineWithNothingButATap) {
  const CommandId tap = Give(TapOf({}));
  GoOffline();
  EXPECT_EQ(StateOf(tap), v1::COMMAND_STATE_UNKNOWN);
  EXPECT_THAT(fleet_->StopAll(kTtl, clock_, changes_), IsEmpty());
}

TEST_F(FleetCanTest, ATapOfTheLastRunGoesOnAndIsAskedFor) {
  Give(TapOf({"123:7FF"}));
  SavedFleet saved = Save(changes_.rows);
  saved.open_commands = {{.row = changes_.rows.commands.back(), .steps = changes_.rows.steps}};
  changes_ = {};
  Start({}, std::move(saved));
  LinkUp();
  const CommandId id = device("a").open_commands.at(0);
  EXPECT_EQ(std::get<v1::CanTap>(fleet_->commands().Find(id)->row.body).filters(0).id(), 0x123u);
  EXPECT_THAT(changes_.commands_due, ElementsAre(id)) << "to hear what became of it";
}

TEST_F(FleetCanTest, FramesMakeNoDeviceAndKeepNoneAlive) {
  const v1::CanBatch batch = BatchOf(7, 1, FramesOf({"123#1122"}));
  const std::string bytes = batch.SerializeAsString();
  Apply(CanBatchEvent{"stranger", "can0", &batch, bytes});
  EXPECT_EQ(fleet_->registry().Find("stranger"), nullptr);
  for (int i = 0; i < 30; ++i) {
    Apply(CanBatchEvent{"a", "can0", &batch, bytes});
    Run(absl::Milliseconds(100), /*beats=*/false);
  }
  EXPECT_EQ(status("a").state, LivenessState::kOffline);
}

}  // namespace
}  // namespace fleet::server
