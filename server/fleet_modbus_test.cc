// Commands to Modbus units, as FleetState gives them and takes them back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing/fleet_state_fixture.h"
#include "server/testing/modbus_messages.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kTtl = absl::Seconds(5);

class FleetModbusTest : public FleetStateTest {
 protected:
  FleetModbusTest() {
    LinkUp();
    Beat("a", 1, 1);
  }
  absl::StatusOr<CommandId> Submit(const std::string& request) {
    return fleet_->Submit("a", CallOf(request), {.ttl = kTtl}, clock_, changes_);
  }
  // It has been sent when this returns.
  CommandId Give(const std::string& request) {
    const CommandId id = *Submit(request);
    fleet_->Committed(changes_.rows.number, changes_);
    for (CommandId due : Tick()) fleet_->Sent(due, true, clock_, changes_);
    return id;
  }
  absl::StatusOr<Cancelled> CancelOn(const v1::Cancel& cancel) {
    return fleet_->CancelOn("a", cancel, kTtl, clock_, changes_);
  }
  static v1::Cancel Stop() {
    v1::Cancel stop;
    stop.set_stop(true);
    return stop;
  }
  static v1::Cancel AllOfDevice() {
    v1::Cancel all;
    all.set_device(true);
    return all;
  }
};

TEST_F(FleetModbusTest, ACallIsStoredThenSent) {
  const auto id = Submit(kModbusWrite);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_THAT(Tick(), IsEmpty()) << "not stored yet";
  fleet_->Committed(changes_.rows.number, changes_);
  EXPECT_THAT(Tick(), ElementsAre(*id));
}

TEST_F(FleetModbusTest, WhatIsNoRequestBecomesNoCommand) {
  EXPECT_TRUE(absl::IsInvalidArgument(Submit("{}").status()));
  EXPECT_TRUE(absl::IsOutOfRange(Submit(std::string(4097, ' ')).status()));
  EXPECT_THAT(changes_.rows.commands, IsEmpty());
}

TEST_F(FleetModbusTest, AStopTakesBackWritesThatWaitAndLeavesReads) {
  const CommandId read = *Submit(kModbusRead);
  const CommandId write = *Submit(kModbusWrite);
  const auto stopped = CancelOn(Stop());
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_THAT(stopped->ended, ElementsAre(write));
  EXPECT_EQ(StateOf(write), v1::COMMAND_STATE_CANCELLED);
  EXPECT_EQ(StateOf(read), v1::COMMAND_STATE_QUEUED);
}

TEST_F(FleetModbusTest, ACancelOfTheDeviceTakesBackWritesAndOneOfAnEntityDoesNot) {
  const CommandId write = *Submit(kModbusWrite);
  v1::Cancel entity;
  entity.set_entity_id(1);
  EXPECT_THAT(CancelOn(entity)->ended, IsEmpty());
  EXPECT_THAT(CancelOn(AllOfDevice())->ended, ElementsAre(write));
}

TEST_F(FleetModbusTest, AReadIsTakenBackByItsId) {
  const CommandId read = *Submit(kModbusRead);
  EXPECT_THAT(fleet_->CancelCommand(read, kTtl, clock_, changes_)->ended, ElementsAre(read));
}

TEST_F(FleetModbusTest, AStopOfAllNamesADeviceThatIsOfflineWithAWrite) {
  Give(kModbusRead);
  Say("a", v1::PRESENCE_OFFLINE, 1);
  EXPECT_THAT(fleet_->StopAll(kTtl, clock_, changes_), IsEmpty());
  Beat("a", 1, 2);
  Give(kModbusWrite);
  Say("a", v1::PRESENCE_OFFLINE, 1);
  EXPECT_THAT(fleet_->StopAll(kTtl, clock_, changes_), SizeIs(1)) << "it may still write";
}

}  // namespace
}  // namespace fleet::server
