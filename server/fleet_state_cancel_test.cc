// Taking back and stopping, as FleetState drives it: what ends at once, what is sent, and what the operator is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/topics.h"
#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTtl = absl::Seconds(5);

class FleetCancelTest : public FleetStateTest {
 protected:
  FleetCancelTest() {
    LinkUp();
    Beat("a", 1, 1);
  }
  CommandId Queue(absl::string_view device) {
    return *fleet_->Submit(device, SomeSegment(), {.ttl = kTtl, .queue = true}, clock_, changes_);
  }
  absl::StatusOr<Cancelled> CancelOne(CommandId id) { return fleet_->CancelCommand(id, kTtl, clock_, changes_); }
  absl::StatusOr<Cancelled> CancelEntity(uint32_t entity) {
    v1::Cancel cancel;
    cancel.set_entity_id(entity);
    return fleet_->CancelOn("a", cancel, kTtl, clock_, changes_);
  }
  absl::StatusOr<Cancelled> Stop(absl::string_view device) {
    v1::Cancel stop;
    stop.set_stop(true);
    return fleet_->CancelOn(device, stop, kTtl, clock_, changes_);
  }
  const v1::Cancel& CancelOf(CommandId id) const { return std::get<v1::Cancel>(fleet_->commands().Find(id)->row.body); }
};

TEST_F(FleetCancelTest, WhatWasNotSentEndsAtOnceAndNothingIsSent) {
  const CommandId id = Queue("a");
  const auto cancelled = CancelOne(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_THAT(cancelled->ended, ElementsAre(id));
  EXPECT_EQ(cancelled->sent, std::nullopt);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_CANCELLED);
  fleet_->Committed(changes_.rows.number, changes_);
  EXPECT_THAT(Tick(), IsEmpty());
}

TEST_F(FleetCancelTest, WhatWasSentIsTakenBackByACommandOfItsOwn) {
  const CommandId id = SubmitAndSend("a");
  changes_.urgent = false;
  const auto cancelled = CancelOne(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_THAT(cancelled->ended, IsEmpty());
  ASSERT_TRUE(cancelled->sent.has_value());
  EXPECT_GT(*cancelled->sent, id);
  EXPECT_EQ(CancelOf(*cancelled->sent).command_id(), Number(id));
  EXPECT_TRUE(changes_.urgent);
  EXPECT_THAT(Tick(), IsEmpty()) << "it is stored first, as any command but a stop";
  fleet_->Committed(changes_.rows.number, changes_);
  EXPECT_THAT(Tick(), ElementsAre(*cancelled->sent));
}

TEST_F(FleetCancelTest, WhatCannotBeTakenBackIsRefused) {
  const CommandId id = SubmitAndSend("a");
  const CommandId cancel = *CancelOne(id)->sent;
  EXPECT_TRUE(absl::IsInvalidArgument(CancelOne(cancel).status()));
  EXPECT_TRUE(absl::IsNotFound(CancelOne(CommandId{999'999}).status()));
  Ack("a", 1, id, v1::COMMAND_STATE_DONE);
  EXPECT_TRUE(absl::IsFailedPrecondition(CancelOne(id).status()));
  EXPECT_TRUE(absl::IsNotFound(Stop("nobody").status()));
}

TEST_F(FleetCancelTest, AnEntityIsCancelledHereAndOnTheDevice) {
  const CommandId queued = Queue("a");
  const auto cancelled = CancelEntity(1);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_THAT(cancelled->ended, ElementsAre(queued));
  EXPECT_EQ(CancelOf(*cancelled->sent).entity_id(), 1u);
  EXPECT_THAT(CancelEntity(2)->ended, IsEmpty());
}

TEST_F(FleetCancelTest, OfAnOfflineDeviceOnlyWhatWaitsHereCanBeTakenBack) {
  Say("a", v1::PRESENCE_OFFLINE, 1);
  const CommandId queued = Queue("a");
  const auto cancelled = CancelEntity(1);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_THAT(cancelled->ended, ElementsAre(queued));
  EXPECT_EQ(cancelled->sent, std::nullopt) << "nothing can be there";
}

TEST_F(FleetCancelTest, WhenAnOfflineDeviceMayHoldSomethingTheOperatorIsTold) {
  const CommandId sent = SubmitAndSend("a");
  Say("a", v1::PRESENCE_OFFLINE, 1);
  const CommandId queued = Queue("a");
  const absl::Status status = CancelEntity(1).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("device a is offline (clean) and was not told; 1 commands"));
  EXPECT_EQ(StateOf(queued), v1::COMMAND_STATE_CANCELLED);
  EXPECT_EQ(StateOf(sent), v1::COMMAND_STATE_UNKNOWN);
}

TEST_F(FleetCancelTest, AStopGoesOutInTheSameTurnWithoutWaitingForTheStore) {
  const CommandId queued = Queue("a");
  const auto stopped = Stop("a");
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_THAT(stopped->ended, ElementsAre(queued));
  EXPECT_THAT(changes_.stops, ElementsAre(*stopped->sent));
  fleet_->Sent(*stopped->sent, true, clock_, changes_);
  EXPECT_EQ(StateOf(*stopped->sent), v1::COMMAND_STATE_SENT);
  EXPECT_EQ(changes_.rows.commands.back().id, *stopped->sent) << "and it is stored beside";
}

TEST_F(FleetCancelTest, AStopForADeviceThatHeardNoBeatComesWithOneAheadOfIt) {
  clock_.Advance(absl::Milliseconds(10));
  Say("b", v1::PRESENCE_ONLINE, 1);
  ASSERT_TRUE(Stop("b").ok());
  ASSERT_EQ(changes_.first.size(), 1u);
  EXPECT_EQ(changes_.first[0].topic, kServerBeatTopic);
  changes_.first.clear();
  ASSERT_TRUE(Stop("a").ok());
  EXPECT_THAT(changes_.first, IsEmpty()) << "one that has heard the server needs none";
}

TEST_F(FleetCancelTest, AStopOfAnOfflineDeviceSaysSo) {
  Say("a", v1::PRESENCE_OFFLINE, 1);
  const CommandId queued = Queue("a");
  EXPECT_TRUE(absl::IsFailedPrecondition(Stop("a").status()));
  EXPECT_EQ(StateOf(queued), v1::COMMAND_STATE_CANCELLED);
  EXPECT_THAT(changes_.stops, IsEmpty());
}

TEST_F(FleetCancelTest, StopAllReachesEveryDeviceThatIsNotOfflineAndNamesThoseThatMayHoldSomething) {
  for (const char* id : {"b", "gone", "gone-with-work"}) Beat(id, 1, 1);
  const CommandId held = SubmitAndSend("gone-with-work");
  Say("gone", v1::PRESENCE_OFFLINE, 1);
  Say("gone-with-work", v1::PRESENCE_OFFLINE, 1);
  const std::vector<Stopped> stopped = fleet_->StopAll(kTtl, clock_, changes_);
  ASSERT_EQ(stopped.size(), 3u);
  EXPECT_EQ(stopped[0].device, device("a").index);
  EXPECT_EQ(stopped[1].device, device("b").index);
  EXPECT_THAT(changes_.stops, ElementsAre(*stopped[0].sent, *stopped[1].sent));
  EXPECT_EQ(stopped[2].device, device("gone-with-work").index);
  EXPECT_TRUE(absl::IsFailedPrecondition(stopped[2].sent.status()));
  EXPECT_EQ(StateOf(held), v1::COMMAND_STATE_UNKNOWN);
}

TEST_F(FleetCancelTest, ReconcileAsksNow) {
  const CommandId id = SubmitAndSend("a");
  Ack("a", 1, id, v1::COMMAND_STATE_RUNNING);
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_TRUE(fleet_->Reconcile(id, clock_).ok());
  EXPECT_THAT(Tick(), ElementsAre(id));
  EXPECT_TRUE(absl::IsNotFound(fleet_->Reconcile(CommandId{999'999}, clock_)));
}

}  // namespace
}  // namespace fleet::server
