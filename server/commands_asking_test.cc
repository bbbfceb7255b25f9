// When a command goes out, and when it goes out again to ask what became of it.
#include <gtest/gtest.h>

#include "server/testing/commands_fixture.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kMoment = absl::Nanoseconds(1);

TEST_F(CommandsTest, WithoutAWordItIsSentAgainASecondLater) {
  const CommandId id = SubmitAndSend();
  EXPECT_EQ(Pass(absl::Seconds(1) - kMoment), Ids{});
  EXPECT_EQ(Pass(kMoment), Ids{id});
  Send({id}, true);
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent})) << "to ask is no step";
  EXPECT_EQ(commands_.counters().resent, 1u);
  EXPECT_EQ(Pass(absl::Seconds(1)), Ids{id});
}

TEST_F(CommandsTest, AfterAWordItIsAskedTenSecondsLaterUntilItEnds) {
  const CommandId id = SubmitAndSend(absl::Hours(1));
  clock_.Advance(absl::Milliseconds(500));
  DeviceSays(id, kRunning);
  EXPECT_EQ(Pass(absl::Seconds(10) - kMoment), Ids{});
  EXPECT_EQ(Pass(kMoment), Ids{id});
  Send({id}, true);
  EXPECT_EQ(Pass(absl::Seconds(9)), Ids{});
  DeviceSays(id, kRunning);  // the answer
  EXPECT_EQ(Pass(absl::Seconds(9)), Ids{});
  EXPECT_EQ(Pass(absl::Seconds(1)), Ids{id});
  DeviceSays(id, kDone);
  EXPECT_EQ(Pass(absl::Hours(1)), Ids{});
  EXPECT_EQ(commands_.NextDue(/*link_up=*/true), MonoTime::Max());
}

TEST_F(CommandsTest, UnknownOnesAreAskedAsWellAlsoAfterTheirTime) {
  const CommandId id = SubmitAndSend(absl::Seconds(1));
  EXPECT_EQ(Pass(absl::Seconds(2)), Ids{id});
  ASSERT_EQ(StateOf(id), kUnknown);
  Send({id}, true);
  EXPECT_EQ(Pass(absl::Seconds(10) - kMoment), Ids{});
  EXPECT_EQ(Pass(kMoment), Ids{id}) << "the device judges whether it is too late";
}

TEST_F(CommandsTest, WhileTheDeviceIsOfflineNothingGoesOutAndTheLoopSleeps) {
  const CommandId sent = SubmitAndSend(absl::Minutes(10));
  const CommandId queued = *Submit(absl::Minutes(10));
  device_->state = LivenessState::kOffline;
  commands_.DeviceGone(*device_, "gone", clock_, rows_);
  CommitUpTo(rows_.number);
  EXPECT_EQ(Pass(absl::Seconds(1)), Ids{});
  EXPECT_EQ(commands_.NextDue(/*link_up=*/true), In(absl::Minutes(10) - absl::Seconds(1)));
  device_->state = LivenessState::kOnline;
  commands_.AskAll(*device_, clock_.Read().mono);
  EXPECT_EQ(Due(), (Ids{sent, queued})) << "old before new";
}

TEST_F(CommandsTest, AskAllDoesNotSendWhatIsNotStored) {
  const CommandId id = *Submit();
  commands_.AskAll(*device_, clock_.Read().mono);
  commands_.Ask(id, clock_.Read().mono);
  EXPECT_EQ(Due(), Ids{});
}

TEST_F(CommandsTest, SeveralGoOutOldBeforeNewWhateverTheirTimes) {
  const CommandId first = SubmitAndSend();
  clock_.Advance(absl::Milliseconds(400));
  const CommandId second = SubmitAndSend();
  commands_.Ask(second, clock_.Read().mono);
  EXPECT_EQ(Pass(absl::Milliseconds(600)), (Ids{first, second}));
}

TEST_F(CommandsTest, ReconcileAsksAtOnce) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kRunning);
  commands_.Ask(id, clock_.Read().mono);
  EXPECT_EQ(Due(), Ids{id});
  DeviceSays(id, kDone);
  commands_.Ask(id, clock_.Read().mono);
  EXPECT_EQ(Due(), Ids{}) << "nothing to ask";
}

TEST_F(CommandsTest, RefusedByTheLinkTheyAllWaitALittleAndKeepTheirOrder) {
  const CommandId first = *Submit();
  CommitUpTo(rows_.number++);
  Send(Due(), false);
  EXPECT_EQ(StateOf(first), kQueued);
  EXPECT_EQ(commands_.NextDue(/*link_up=*/true), In(absl::Milliseconds(100)));
  EXPECT_EQ(commands_.NextDue(/*link_up=*/false), In(absl::Seconds(5))) << "nothing to try without a link";
  const CommandId second = *Submit();
  CommitUpTo(rows_.number++);
  EXPECT_EQ(Pass(absl::Milliseconds(99)), Ids{}) << "the new one does not overtake";
  EXPECT_EQ(Pass(absl::Milliseconds(500), /*link_up=*/false), Ids{});
  EXPECT_EQ(Pass(absl::Milliseconds(1)), (Ids{first, second}));
  Send({first, second}, true);
  EXPECT_EQ(StateOf(first), kSent);
}

TEST_F(CommandsTest, RefusedAndThenTooOldIsNotSentAnyMore) {
  const CommandId id = *Submit(absl::Milliseconds(50));
  CommitUpTo(rows_.number);
  Send(Due(), false);
  EXPECT_EQ(Pass(absl::Milliseconds(200)), Ids{});
  EXPECT_EQ(StateOf(id), kExpired);
}

TEST_F(CommandsTest, AStopNeedsNotBeStored) {
  const CommandId stop = *SubmitCancel(StopAll());
  Send({stop}, true);
  EXPECT_EQ(StateOf(stop), kSent);
  EXPECT_EQ(CommitUpTo(rows_.number), Ids{stop});
  EXPECT_EQ(Due(), Ids{}) << "it is out already";
  EXPECT_EQ(Pass(absl::Seconds(1)), Ids{stop});
}

TEST_F(CommandsTest, AStopThatTheLinkRefusedIsTriedAgainStoredOrNot) {
  const CommandId stop = *SubmitCancel(StopAll());
  Send({stop}, false);
  EXPECT_EQ(Pass(absl::Milliseconds(100)), Ids{stop});
}

TEST_F(CommandsTest, AnAnswerIsAwaitedForAMomentAfterTheFirstSending) {
  const CommandId id = SubmitAndSend();
  EXPECT_TRUE(commands_.AwaitsAnswer(In(Commands::kHurry - kMoment)));
  EXPECT_FALSE(commands_.AwaitsAnswer(In(Commands::kHurry)));
  Send(Pass(absl::Seconds(1)), true);
  EXPECT_FALSE(commands_.AwaitsAnswer(In(kMoment))) << "nobody waits for what is asked in the background";
  EXPECT_EQ(StateOf(id), kSent);
}

class RestoredCommandsTest : public CommandsTest {
 protected:
  // Issued `age` ago on the steady clock, which reads 1 000 000 now; its steps came 100 ms apart.
  CommandId Restore(uint64_t id, const Path& path, absl::Duration age = absl::Seconds(1),
                    absl::Duration ttl = absl::Seconds(5)) {
    SavedCommand saved{.row = {.id = CommandId{id},
                               .device_row = device_->row,
                               .body = v1::Segment(),
                               .issued_unix_ms = 1'000'000 - absl::ToInt64Milliseconds(age),
                               .ttl_ms = absl::ToInt64Milliseconds(ttl)},
                       .steps = {}};
    for (auto state : path) {
      const auto number = static_cast<uint32_t>(saved.steps.size());
      saved.steps.push_back(
          {.id = CommandId{id}, .number = number, .state = state, .since_issue_ms = int64_t{100} * number});
    }
    commands_.Restore(*device_, saved, 1'000'000, clock_, rows_);
    return CommandId{id};
  }
};

TEST_F(RestoredCommandsTest, TheyGoOnAsTheyWereAndAreAskedAtOnceInOrder) {
  const CommandId running = Restore(70, {kQueued, kSent, kRunning});
  const CommandId queued = Restore(71, {kQueued});
  const CommandId unknown = Restore(72, {kQueued, kSent, kUnknown});
  EXPECT_TRUE(rows_.steps.empty()) << "a restart of the server is no step";
  EXPECT_EQ(commands_.open_count(), 2u);
  EXPECT_EQ(commands_.unknown_count(), 1u);
  EXPECT_EQ(Due(), (Ids{running, queued, unknown}));
  Send({running, queued, unknown}, true);
  EXPECT_EQ(StatesOf(running), (Path{kQueued, kSent, kRunning}));
  EXPECT_EQ(StatesOf(queued), (Path{kQueued, kSent}));
  DeviceSays(running, kDone);
  DeviceSays(queued, kDone);
  DeviceSays(unknown, kDone);
  EXPECT_EQ(rows_.steps.size(), 4u);
  EXPECT_EQ(rows_.steps[1].number, 3u) << "steps are numbered on";
  EXPECT_TRUE(device_->open_commands.empty());
}

TEST_F(RestoredCommandsTest, WhatWasQueuedMayHaveBeenSentSoItIsUnknownAfterItsTime) {
  device_->state = LivenessState::kOffline;
  const CommandId id = Restore(70, {kQueued});
  EXPECT_TRUE(commands_.CancelUnsent(*device_, StopAll(), clock_, rows_).empty());
  EXPECT_TRUE(commands_.MayHold(*device_, StopAll()));
  EXPECT_EQ(Pass(absl::Seconds(5) - kMoment), Ids{});
  EXPECT_EQ(StateOf(id), kQueued);
  Pass(kMoment);
  EXPECT_EQ(StateOf(id), kUnknown);
  EXPECT_EQ(ReasonOf(id), "server_restarted");
}

TEST_F(RestoredCommandsTest, AgesGoOnOverTheRestart) {
  const CommandId id = Restore(70, {kQueued, kSent}, absl::Milliseconds(4'500));
  Pass(absl::Milliseconds(1'500) - kMoment);
  EXPECT_EQ(StateOf(id), kSent);
  Pass(kMoment);
  EXPECT_EQ(ReasonOf(id), "no_answer");
  EXPECT_EQ(commands_.Find(id)->steps.back().since_issue_ms, 6'000);
}

TEST_F(RestoredCommandsTest, TheDayOfAnUnknownOneGoesOnOverTheRestart) {
  const CommandId id = Restore(70, {kQueued, kSent, kUnknown}, absl::Hours(23));
  Pass(absl::Hours(1) - absl::Seconds(1));
  EXPECT_TRUE(rows_.given_up.empty());
  Pass(absl::Seconds(2));
  EXPECT_EQ(rows_.given_up, Ids{id});
}

}  // namespace
}  // namespace fleet::server
