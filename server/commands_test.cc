#include "server/commands.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/testing/commands_fixture.h"

namespace fleet::server {
namespace {

TEST_F(CommandsTest, SubmittedIsQueuedAndItsRowsGoToTheStore) {
  const CommandId id = *Submit();
  EXPECT_EQ(StateOf(id), kQueued);
  ASSERT_EQ(rows_.commands.size(), 1u);
  EXPECT_EQ(rows_.commands[0].id, id);
  EXPECT_EQ(rows_.commands[0].device_row, device_->row);
  EXPECT_EQ(rows_.commands[0].ttl_ms, 5000);
  ASSERT_EQ(rows_.steps.size(), 1u);
  EXPECT_EQ(rows_.steps[0].state, kQueued);
  EXPECT_EQ(commands_.open_count(), 1u);
}

TEST_F(CommandsTest, GoesOutOnlyOnceItsBatchIsCommitted) {
  rows_.number = 5;
  const CommandId early = *Submit();
  rows_.number = 7;
  const CommandId late = *Submit();
  EXPECT_EQ(CommitUpTo(4), Ids{});
  EXPECT_EQ(Due(), Ids{});
  EXPECT_EQ(CommitUpTo(6), Ids{early});
  EXPECT_EQ(Due(), Ids{early});
  EXPECT_EQ(CommitUpTo(7), Ids{late});
  EXPECT_EQ(Due(), Ids{late});
  EXPECT_EQ(CommitUpTo(8), Ids{});
  EXPECT_EQ(Due(), Ids{}) << "due once";
}

TEST_F(CommandsTest, WhatTheDatabaseRefusedIsNotSent) {
  rows_.number = 5;
  const CommandId lost = *Submit();
  rows_.number = 6;
  const CommandId stored = *Submit();
  commands_.Lost(5, registry_, clock_, rows_);
  EXPECT_EQ(CommitUpTo(6), Ids{stored});
  EXPECT_EQ(Due(), Ids{stored});
  EXPECT_EQ(StateOf(lost), kFailed);
  EXPECT_EQ(ReasonOf(lost), "not_stored");
}

TEST_F(CommandsTest, RunsToItsEnd) {
  const CommandId id = SubmitAndSend();
  for (auto state : {kReceived, kAccepted, kRunning, kDone}) {
    clock_.Advance(absl::Milliseconds(100));
    DeviceSays(id, state);
  }
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, kReceived, kAccepted, kRunning, kDone}));
  EXPECT_EQ(commands_.Find(id)->steps.back().since_issue_ms, 400);
  EXPECT_EQ(commands_.Find(id)->steps.back().number, 5u);
  EXPECT_EQ(commands_.open_count(), 0u);
  EXPECT_TRUE(device_->open_commands.empty());
  EXPECT_EQ(rows_.steps.size(), 6u);
}

TEST_F(CommandsTest, DeviceMayEndItInEachWay) {
  for (auto end : {kFailed, v1::COMMAND_STATE_SUPERSEDED, kCancelled}) {
    const CommandId id = SubmitAndSend();
    DeviceSays(id, kRunning);
    DeviceSays(id, end, "why");
    EXPECT_EQ(StateOf(id), end);
    EXPECT_EQ(ReasonOf(id), "why");
  }
  for (auto end : {kRejected, kExpired}) {
    const CommandId id = SubmitAndSend();
    DeviceSays(id, end, "why");
    EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, end}));
  }
  EXPECT_EQ(commands_.open_count(), 0u);
}

TEST_F(CommandsTest, StepsThatGoBackAreIgnoredAndCounted) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kRunning);
  for (auto state : {kReceived, kAccepted, kUnknown}) DeviceSays(id, state);
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, kRunning}));
  EXPECT_EQ(commands_.counters().ignored_updates, 3u);
  DeviceSays(id, kRunning);  // the answer when it is asked
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, kRunning}));
  EXPECT_EQ(commands_.counters().ignored_updates, 3u);
}

TEST_F(CommandsTest, QueuedAndSentAreNotTheDevicesToSay) {
  const CommandId id = *Submit();
  DeviceSays(id, kSent);
  EXPECT_EQ(StateOf(id), kQueued);
}

TEST_F(CommandsTest, NothingFollowsAnEnd) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kDone);
  for (auto state : {kReceived, kRunning, kDone, kFailed, kExpired}) DeviceSays(id, state);
  DeviceSays(id, kUnknown, "memory_lost");
  EXPECT_EQ(StateOf(id), kDone);
  EXPECT_EQ(commands_.counters().ignored_updates, 6u);
}

TEST_F(CommandsTest, WordOfAnotherDeviceOrOnAnUnknownCommandIsIgnored) {
  const CommandId id = SubmitAndSend();
  commands_.Update(*other_, MakeUpdate(id, kDone, ""), clock_, rows_);
  DeviceSays(CommandId{999}, kDone);
  EXPECT_EQ(StateOf(id), kSent);
  EXPECT_EQ(commands_.counters().ignored_updates, 2u);
}

TEST_F(CommandsTest, NotSentInTimeIsExpiredExactlyThenAndNeverSent) {
  const CommandId id = *Submit(absl::Seconds(5));
  Pass(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_EQ(StateOf(id), kQueued);
  EXPECT_EQ(commands_.NextDue(/*link_up=*/true), clock_.Read().mono + absl::Nanoseconds(1));
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(StateOf(id), kExpired);
  EXPECT_EQ(ReasonOf(id), "not_sent");
  CommitUpTo(rows_.number);
  EXPECT_EQ(Due(), Ids{});
}

TEST_F(CommandsTest, SentWithoutAnswerIsUnknownASecondAfterItsTime) {
  const CommandId id = SubmitAndSend(absl::Seconds(5));
  Pass(absl::Seconds(5));
  EXPECT_EQ(StateOf(id), kSent) << "the device's own word may be under way";
  Pass(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_EQ(StateOf(id), kSent);
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(StateOf(id), kUnknown);
  EXPECT_EQ(ReasonOf(id), "no_answer");
  EXPECT_EQ(commands_.open_count(), 0u);
  EXPECT_EQ(commands_.unknown_count(), 1u);
}

TEST_F(CommandsTest, RunningMayOutliveItsTime) {
  const CommandId id = SubmitAndSend(absl::Seconds(5));
  DeviceSays(id, kRunning);
  Pass(absl::Hours(2));
  EXPECT_EQ(StateOf(id), kRunning);
}

TEST_F(CommandsTest, TheAnswerReplacesUnknownAlsoWithTheStepThatWasKnown) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kRunning);
  commands_.DeviceGone(*device_, "device_offline_lost", clock_, rows_);
  ASSERT_EQ(StateOf(id), kUnknown);
  DeviceSays(id, kReceived);  // behind what was known: a copy that comes late
  EXPECT_EQ(StateOf(id), kUnknown);
  EXPECT_EQ(commands_.counters().ignored_updates, 1u);
  DeviceSays(id, kRunning);
  EXPECT_EQ(commands_.open_count(), 1u);
  EXPECT_EQ(commands_.unknown_count(), 0u);
  DeviceSays(id, kDone);
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, kRunning, kUnknown, kRunning, kDone}));
  EXPECT_TRUE(device_->open_commands.empty());
}

TEST_F(CommandsTest, OnlyAnEndResolvesUnknownWhileTheDeviceIsOffline) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kRunning);
  device_->state = LivenessState::kOffline;
  commands_.DeviceGone(*device_, "device_offline_lost", clock_, rows_);
  DeviceSays(id, kRunning);  // nobody would say what became of it then
  EXPECT_EQ(StateOf(id), kUnknown);
  DeviceSays(id, kDone);
  EXPECT_EQ(StateOf(id), kDone);
}

TEST_F(CommandsTest, LostMemoryIsUnknownForGood) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kUnknown, "memory_lost");
  EXPECT_EQ(StateOf(id), kUnknown);
  EXPECT_EQ(rows_.given_up, Ids{id});
  EXPECT_EQ(commands_.unknown_count(), 0u);
  EXPECT_TRUE(device_->open_commands.empty());
  EXPECT_EQ(Pass(absl::Minutes(1)), Ids{});
  DeviceSays(id, kDone);
  EXPECT_EQ(StateOf(id), kUnknown);
}

TEST_F(CommandsTest, GoneDeviceLeavesWhatItHeldUnknownButNotWhatWaitsHere) {
  const CommandId sent = SubmitAndSend();
  const CommandId running = SubmitAndSend();
  DeviceSays(running, kRunning);
  const CommandId done = SubmitAndSend();
  DeviceSays(done, kDone);
  const CommandId queued = *Submit();
  commands_.DeviceGone(*device_, "device_offline_lost", clock_, rows_);
  EXPECT_EQ(StateOf(sent), kUnknown);
  EXPECT_EQ(StateOf(running), kUnknown);
  EXPECT_EQ(ReasonOf(running), "device_offline_lost");
  EXPECT_EQ(StateOf(done), kDone);
  EXPECT_EQ(StateOf(queued), kQueued);
}

TEST_F(CommandsTest, TimeToLiveIsBounded) {
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(absl::Milliseconds(9)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(absl::Hours(1) + absl::Milliseconds(1)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(-absl::Seconds(1)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(absl::InfiniteDuration()).status()));
  EXPECT_TRUE(Submit(absl::Milliseconds(10)).ok());
  EXPECT_TRUE(Submit(absl::Hours(1)).ok());
  EXPECT_EQ(rows_.commands.size(), 2u);
}

class FewCommandsTest : public CommandsTest {
 protected:
  FewCommandsTest() : CommandsTest({.max_open = 3, .max_ttl = absl::Hours(1), .first_id = CommandId{41}}) {}
};

TEST_F(FewCommandsTest, OpenOnesAreBoundedAndAnEndMakesRoom) {
  const CommandId first = SubmitAndSend();
  EXPECT_EQ(first, CommandId{41});
  ASSERT_TRUE(Submit().ok());
  ASSERT_TRUE(Submit().ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Submit().status()));
  EXPECT_EQ(commands_.counters().submitted, 3u);
  DeviceSays(first, kDone);
  EXPECT_TRUE(Submit().ok());
}

TEST_F(FewCommandsTest, UnknownOnesTakeNoRoom) {
  for (int i = 0; i < 10; ++i) {
    SubmitAndSend();
    commands_.DeviceGone(*device_, "gone", clock_, rows_);
  }
  EXPECT_EQ(commands_.unknown_count(), 10u);
  EXPECT_TRUE(Submit().ok());
}

TEST_F(FewCommandsTest, WhatTakesBackIsNotKeptOutByWhatItTakesBack) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Submit().ok());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(SubmitCancel(StopAll()).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(SubmitCancel(StopAll()).status())) << "but it is bounded as well";
}

TEST_F(CommandsTest, EndedOnesAreKeptUpToABound) {
  Ids ids;
  for (size_t i = 0; i < Commands::kKeepEnded + 10; ++i) {
    ids.push_back(SubmitAndSend());
    DeviceSays(ids.back(), kDone);
  }
  EXPECT_EQ(commands_.Find(ids[9]), nullptr);
  EXPECT_NE(commands_.Find(ids[10]), nullptr);
  EXPECT_NE(commands_.Find(ids.back()), nullptr);
  Pass(absl::Hours(1));
}

TEST_F(CommandsTest, UnknownOnesAreBoundedPerDeviceAndTheOldestIsGivenUp) {
  Ids ids;
  for (size_t i = 0; i < Commands::kMaxUnknown + 2; ++i) ids.push_back(SubmitAndSend());
  commands_.DeviceGone(*device_, "gone", clock_, rows_);
  EXPECT_EQ(device_->open_commands.size(), Commands::kMaxUnknown);
  EXPECT_EQ(rows_.given_up, (Ids{ids[0], ids[1]}));
  EXPECT_EQ(StateOf(ids[0]), kUnknown) << "that is all that is known";
  EXPECT_EQ(commands_.counters().given_up, 2u);
  EXPECT_EQ(commands_.unknown_count(), Commands::kMaxUnknown);
}

TEST_F(CommandsTest, UnknownForADayIsGivenUp) {
  const CommandId id = SubmitAndSend();
  commands_.DeviceGone(*device_, "gone", clock_, rows_);
  Pass(absl::Hours(24) - absl::Nanoseconds(1));
  EXPECT_TRUE(rows_.given_up.empty());
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(rows_.given_up, Ids{id});
  EXPECT_TRUE(device_->open_commands.empty());
  EXPECT_EQ(commands_.NextDue(/*link_up=*/true), MonoTime::Max());
}

TEST_F(CommandsTest, DeviceThatFlapsDoesNotGrowACommandWithoutEndAndAnEndStillGetsIn) {
  const CommandId id = SubmitAndSend();
  for (int i = 0; i < 1000; ++i) {
    commands_.DeviceGone(*device_, "gone", clock_, rows_);
    DeviceSays(id, kRunning);
  }
  EXPECT_LE(commands_.Find(id)->steps.size(), Commands::kMaxSteps + 1);
  DeviceSays(id, kDone);
  EXPECT_EQ(StateOf(id), kDone);
}

TEST_F(CommandsTest, CancelEndsAtOnceWhatWasNotSentAndNothingElse) {
  const CommandId sent = SubmitAndSend();
  const CommandId queued = *Submit();
  const CommandId other_entity = *Submit(absl::Seconds(5), /*entity=*/2);
  v1::Cancel cancel;
  cancel.set_entity_id(1);
  EXPECT_TRUE(commands_.MayHold(*device_, cancel));
  EXPECT_EQ(commands_.CancelUnsent(*device_, cancel, clock_, rows_), Ids{queued});
  EXPECT_EQ(StateOf(queued), kCancelled);
  EXPECT_EQ(ReasonOf(queued), "operator");
  EXPECT_EQ(StateOf(sent), kSent);
  EXPECT_EQ(StateOf(other_entity), kQueued);
  CommitUpTo(rows_.number);
  EXPECT_EQ(Due(), Ids{other_entity}) << "what was taken back is never sent";
}

TEST_F(CommandsTest, CancelCoversWhatItSays) {
  CommandRow row{.id = CommandId{7}, .device_row = 1, .body = v1::Segment()};
  std::get<v1::Segment>(row.body).set_entity_id(3);
  const auto covers = [&](auto set) {
    v1::Cancel cancel;
    set(cancel);
    return Covers(cancel, row);
  };
  EXPECT_TRUE(covers([](v1::Cancel& c) { c.set_command_id(7); }));
  EXPECT_FALSE(covers([](v1::Cancel& c) { c.set_command_id(8); }));
  EXPECT_TRUE(covers([](v1::Cancel& c) { c.set_entity_id(3); }));
  EXPECT_FALSE(covers([](v1::Cancel& c) { c.set_entity_id(4); }));
  EXPECT_TRUE(covers([](v1::Cancel& c) { c.set_device(true); }));
  EXPECT_TRUE(covers([](v1::Cancel& c) { c.set_stop(true); }));
  EXPECT_FALSE(covers([](v1::Cancel&) {}));
  row.body = v1::Cancel();
  EXPECT_FALSE(covers([](v1::Cancel& c) { c.set_stop(true); })) << "a cancel is not taken back";
  EXPECT_FALSE(covers([](v1::Cancel& c) { c.set_command_id(7); }));
}

TEST_F(CommandsTest, CommandsToABusAreCoveredByTheirIdOnly) {
  for (const CommandBody& body :
       {CommandBody(v1::CanSend()), CommandBody(v1::CanTap()), CommandBody(v1::ClearDtcs())}) {
    const CommandRow row{.id = CommandId{7}, .device_row = 1, .body = body};
    v1::Cancel cancel;
    cancel.set_command_id(7);
    EXPECT_TRUE(Covers(cancel, row));
    cancel.set_command_id(8);
    EXPECT_FALSE(Covers(cancel, row));
    cancel.set_entity_id(0);
    EXPECT_FALSE(Covers(cancel, row));
    cancel.set_device(true);
    EXPECT_FALSE(Covers(cancel, row));
    cancel.set_stop(true);
    EXPECT_FALSE(Covers(cancel, row));
  }
}

}  // namespace
}  // namespace fleet::server
