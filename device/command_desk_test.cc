#include "device/command_desk.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "common/testing/fake_clock.h"
#include "device/simulated_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

// What the desk gives to the disk, and what it finds there in its next life.
class FakeDisk {
 public:
  SpoolDone Do(SpoolWork work) {
    if (status.ok()) {
      for (const RememberedCommand& command : work.remember) commands_.insert_or_assign(command.id, command);
      for (const uint64_t id : work.forget) commands_.erase(id);
      if (work.forgotten_up_to) forgotten_up_to_ = *work.forgotten_up_to;
      if (work.memory_began_ms) memory_began_ms_ = work.memory_began_ms;
    }
    return {.status = status, .asked = std::move(work)};
  }
  SpoolContents Contents() const {
    SpoolContents contents{.forgotten_up_to = forgotten_up_to_, .memory_began_ms = memory_began_ms_};
    for (const auto& [id, command] : commands_) contents.commands.push_back(command);
    return contents;
  }

  absl::Status status;

 private:
  std::map<uint64_t, RememberedCommand> commands_;
  uint64_t forgotten_up_to_ = 0;
  std::optional<int64_t> memory_began_ms_;
};

// Entities 1 and 2.
class CommandDeskTest : public testing::Test {
 protected:
  CommandDeskTest() { Begin(); }

  // A life of the agent, which heard a beat.
  void Begin() {
    CommandDesk::Options options;
    options.entities.push_back({EntityId{1}, std::make_unique<SimulatedDriver>()});
    options.entities.push_back({EntityId{2}, std::make_unique<SimulatedDriver>()});
    options.disk_missing = disk_missing_;
    const SpoolContents contents = disk_.Contents();
    work_ = {};
    desk_.emplace(std::move(options), has_disk_ ? &contents : nullptr, updates_);
    desk_->Hear(BeatAt(clock_), now());
  }
  MonoTime now() const { return clock_.Read().mono; }
  std::optional<v1::Event> Hear(const v1::Command& command) {
    return desk_->Judge(Unsigned(command), clock_.Read(), updates_, effects_);
  }
  // The end of a turn: its steps. What is for the disk waits for Write.
  std::string Steps() {
    desk_->Settle(updates_, now(), work_);
    return StepsOf(std::exchange(updates_, {}));
  }
  std::string StepsOfHearing(const v1::Command& command) {
    Hear(command);
    return Steps();
  }
  // The disk does its work, its answer is heard: the steps that follow, all of them on the disk in the end.
  std::string Write() {
    Steps();
    desk_->Done(disk_.Do(std::exchange(work_, {})), clock_.Read(), updates_, effects_);
    std::string steps = Steps();
    if (!work_.empty()) desk_->Done(disk_.Do(std::exchange(work_, {})), clock_.Read(), updates_, effects_);
    return steps;
  }
  std::string Run(absl::Duration time) {
    const MonoTime until = now() + time;
    while (desk_->executor().NextDue() <= until) {
      clock_.Advance(desk_->executor().NextDue() - now());
      desk_->Tick(now(), updates_, effects_);
    }
    clock_.Advance(until - now());
    return Steps();
  }
  v1::Command Line(uint64_t id, uint32_t entity = 1) const { return LineFor(entity, id, clock_); }

  FakeClock clock_;
  bool has_disk_ = true;
  bool disk_missing_ = false;
  FakeDisk disk_;
  CommandDesk::Updates updates_;
  Effects effects_;
  SpoolWork work_;
  std::optional<CommandDesk> desk_;
};

TEST_F(CommandDeskTest, ASegmentStartsWhenTheDiskRemembersIt) {
  EXPECT_EQ(StepsOfHearing(Line(7)), "7:RECEIVED 7:ACCEPTED");
  EXPECT_EQ(Run(absl::Seconds(1)), "");
  EXPECT_EQ(Write(), "7:RUNNING");
  EXPECT_EQ(Run(absl::Seconds(2)), "7:DONE");
}

TEST_F(CommandDeskTest, WithoutASpoolItStartsAtOnce) {
  has_disk_ = false;
  Begin();
  EXPECT_EQ(StepsOfHearing(Line(7)), "7:RECEIVED 7:ACCEPTED 7:RUNNING");
  EXPECT_TRUE(work_.empty());
}

TEST_F(CommandDeskTest, ACopyIsAnsweredWithTheStateAndRunsNothing) {
  const v1::Command command = Line(7);
  StepsOfHearing(command);
  EXPECT_EQ(StepsOfHearing(command), "7:ACCEPTED");
  EXPECT_EQ(Write(), "7:RUNNING");
  EXPECT_EQ(StepsOfHearing(command), "7:RUNNING");
  EXPECT_EQ(Run(absl::Seconds(2)), "7:DONE");
  EXPECT_EQ(StepsOfHearing(command), "7:DONE");
  EXPECT_EQ(Run(absl::Minutes(10)), "");
  EXPECT_EQ(StepsOfHearing(command), "7:DONE");
  EXPECT_EQ(desk_->executor().done(), 1);
}

TEST_F(CommandDeskTest, AfterARestartWhatHadNotEndedHasFailedAndIsNotRunAgain) {
  const v1::Command running = Line(7);
  const v1::Command waiting = AppendFor(1, 8, clock_);
  StepsOfHearing(running);
  StepsOfHearing(waiting);
  EXPECT_EQ(Write(), "7:RUNNING");
  Begin();
  EXPECT_EQ(Steps(), "7:FAILED(device_restarted) 8:FAILED(device_restarted)");
  EXPECT_EQ(StepsOfHearing(running), "7:FAILED(device_restarted)");
  EXPECT_EQ(StepsOfHearing(waiting), "8:FAILED(device_restarted)");
  EXPECT_EQ(Write(), "");
  Begin();
  EXPECT_EQ(Steps(), "");
  EXPECT_EQ(StepsOfHearing(running), "7:FAILED(device_restarted)");
}

TEST_F(CommandDeskTest, AfterARestartWhatHadEndedIsAnsweredAsItEnded) {
  const v1::Command command = Line(7);
  StepsOfHearing(command);
  Write();
  EXPECT_EQ(Run(absl::Seconds(2)), "7:DONE");
  Write();
  Begin();
  EXPECT_EQ(Steps(), "");
  EXPECT_EQ(StepsOfHearing(command), "7:DONE");
}

TEST_F(CommandDeskTest, WhatDidNotReachTheDiskBeforeARestartDidNotStartAndMayRunNow) {
  const v1::Command command = Line(7);
  EXPECT_EQ(Write(), "");  // when the memory began
  EXPECT_EQ(StepsOfHearing(command), "7:RECEIVED 7:ACCEPTED");
  Begin();
  EXPECT_EQ(StepsOfHearing(command), "7:RECEIVED 7:ACCEPTED");
  EXPECT_EQ(Write(), "7:RUNNING");
}

TEST_F(CommandDeskTest, WhatTheDiskCannotRememberDoesNotRun) {
  disk_.status = absl::ResourceExhaustedError("disk full");
  const v1::Command command = Line(7);
  StepsOfHearing(command);
  EXPECT_EQ(Write(), "7:REJECTED(spool_failed)");
  disk_.status = absl::OkStatus();
  clock_.Advance(CommandMemory::kRetryAfter);
  EXPECT_EQ(Write(), "");
  EXPECT_EQ(StepsOfHearing(command), "7:REJECTED(spool_failed)");
  Begin();
  EXPECT_EQ(StepsOfHearing(command), "7:REJECTED(spool_failed)");
}

TEST_F(CommandDeskTest, WithoutTheDiskThatShouldBeThereNothingRuns) {
  has_disk_ = false;
  disk_missing_ = true;
  Begin();
  EXPECT_EQ(StepsOfHearing(Line(7)), "7:REJECTED(spool_failed)");
  EXPECT_EQ(Run(absl::Seconds(2)), "");
  Hear(StopWith(8, clock_));
  EXPECT_EQ(Steps(), "8:RECEIVED 8:ACCEPTED 8:DONE");
}

TEST_F(CommandDeskTest, TheTimeToLiveIsLookedAtAgainAfterTheDisk) {
  StepsOfHearing(Line(7));
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(Write(), "7:EXPIRED(expired)");
  EXPECT_EQ(desk_->memory().Find(7)->state, v1::COMMAND_STATE_EXPIRED);
}

TEST_F(CommandDeskTest, AnOlderSegmentThatComesAfterANewerOneDoesNotRun) {
  const v1::Command older = Line(7);
  StepsOfHearing(Line(8));
  EXPECT_EQ(StepsOfHearing(older), "7:SUPERSEDED(newer_known)");
  EXPECT_EQ(StepsOfHearing(older), "7:SUPERSEDED(newer_known)");
  Write();
  Begin();
  EXPECT_EQ(StepsOfHearing(Line(6)), "8:FAILED(device_restarted) 6:SUPERSEDED(newer_known)");
}

TEST_F(CommandDeskTest, ANewDiskKnowsNothingOfOlderCommands) {
  const v1::Command older = Line(7);
  StepsOfHearing(older);
  Write();
  disk_ = FakeDisk();
  clock_.Advance(absl::Milliseconds(1));
  Begin();
  EXPECT_EQ(StepsOfHearing(older), "7:UNKNOWN(memory_lost)");
  EXPECT_EQ(StepsOfHearing(Line(8)), "8:RECEIVED 8:ACCEPTED");
}

TEST_F(CommandDeskTest, WithoutASpoolARestartForgets) {
  has_disk_ = false;
  Begin();
  const v1::Command command = Line(7);
  StepsOfHearing(command);
  clock_.Advance(absl::Milliseconds(1));
  Begin();
  EXPECT_EQ(StepsOfHearing(command), "7:UNKNOWN(memory_lost)");
}

TEST_F(CommandDeskTest, WhatWasForgottenIsNotRunAgain) {
  const v1::Command first = Line(1);
  for (uint64_t id = 1; id <= CommandMemory::kMaxCommands; ++id) Hear(Line(id));
  Write();
  Run(absl::Minutes(2));
  desk_->Hear(BeatAt(clock_), now());
  StepsOfHearing(Line(10'000));
  EXPECT_EQ(StepsOfHearing(first), "1:UNKNOWN(memory_lost)");
  Write();
  Begin();
  Steps();
  EXPECT_EQ(StepsOfHearing(first), "1:UNKNOWN(memory_lost)");
}

TEST_F(CommandDeskTest, CancelOfACommandEndsItWhereverItIs) {
  StepsOfHearing(Line(1));
  EXPECT_EQ(Write(), "1:RUNNING");
  StepsOfHearing(AppendFor(1, 2, clock_));
  Write();
  StepsOfHearing(Line(3, 2));  // not on the disk yet
  EXPECT_EQ(StepsOfHearing(CancelOfCommand(2, 10, clock_)), "10:RECEIVED 10:ACCEPTED 2:CANCELLED(cancelled) 10:DONE");
  EXPECT_EQ(StepsOfHearing(CancelOfCommand(3, 11, clock_)), "11:RECEIVED 11:ACCEPTED 3:CANCELLED(cancelled) 11:DONE");
  EXPECT_EQ(StepsOfHearing(CancelOfCommand(1, 12, clock_)), "12:RECEIVED 12:ACCEPTED 1:CANCELLED(cancelled) 12:DONE");
  EXPECT_EQ(Write(), "");
  EXPECT_EQ(Run(absl::Minutes(1)), "");
}

TEST_F(CommandDeskTest, CancelOfACommandThatEndedSaysSo) {
  StepsOfHearing(Line(7));
  Write();
  Run(absl::Seconds(2));
  Hear(CancelOfCommand(7, 9, clock_));
  EXPECT_EQ(updates_.back().detail(), "already done");
  EXPECT_EQ(Steps(), "9:RECEIVED 9:ACCEPTED 9:DONE");
}

TEST_F(CommandDeskTest, ACancelThatComesFirstKeepsItsCommandFromRunning) {
  const v1::Command command = Line(7);
  EXPECT_EQ(StepsOfHearing(CancelOfCommand(7, 9, clock_)), "9:RECEIVED 9:ACCEPTED 9:DONE");
  EXPECT_EQ(StepsOfHearing(command), "7:CANCELLED(cancelled)");
  Write();
  Begin();
  EXPECT_EQ(StepsOfHearing(command), "7:CANCELLED(cancelled)");
}

TEST_F(CommandDeskTest, CancelOfAnEntityLeavesTheOthers) {
  const v1::Command late = Line(3);
  StepsOfHearing(Line(4));
  StepsOfHearing(Line(5, 2));
  EXPECT_EQ(Write(), "4:RUNNING 5:RUNNING");
  EXPECT_EQ(StepsOfHearing(CancelOfEntity(1, 9, clock_)), "9:RECEIVED 9:ACCEPTED 4:CANCELLED(cancelled) 9:DONE");
  EXPECT_EQ(StepsOfHearing(late), "3:CANCELLED(stopped)");
  EXPECT_EQ(StepsOfHearing(AppendFor(2, 6, clock_)), "6:RECEIVED 6:ACCEPTED");
}

TEST_F(CommandDeskTest, AStopEndsEverythingAndBarsWhatIsOlder) {
  const v1::Command late = Line(3);
  StepsOfHearing(Line(4));
  StepsOfHearing(Line(5, 2));
  Write();
  StepsOfHearing(AppendFor(1, 6, clock_));
  const std::optional<v1::Event> event = Hear(StopWith(9, clock_));
  EXPECT_EQ(Steps(), "9:RECEIVED 9:ACCEPTED 4:CANCELLED(stopped) 6:CANCELLED(stopped) 5:CANCELLED(stopped) 9:DONE");
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind(), v1::EVENT_KIND_STOPPED);
  EXPECT_EQ(event->detail(), "command 9 ended 3");
  EXPECT_EQ(Hear(StopWith(9, clock_)), std::nullopt);  // it is sent at QoS 0 and at QoS 1
  EXPECT_EQ(Steps(), "9:DONE");
  EXPECT_EQ(StepsOfHearing(late), "3:CANCELLED(stopped)");
  Write();
  Begin();
  EXPECT_EQ(StepsOfHearing(Line(2)), "2:CANCELLED(stopped)");
  EXPECT_EQ(StepsOfHearing(Line(10)), "10:RECEIVED 10:ACCEPTED");
}

TEST_F(CommandDeskTest, ALateStopLeavesWhatIsNewer) {
  const v1::Command stop = StopWith(9, clock_);
  StepsOfHearing(Line(10));
  Write();
  EXPECT_EQ(StepsOfHearing(stop), "9:RECEIVED 9:ACCEPTED 9:DONE");
  EXPECT_EQ(Run(absl::Seconds(2)), "10:DONE");
}

TEST_F(CommandDeskTest, ACancelDoesNotWaitForTheDisk) {
  StepsOfHearing(Line(7));
  Write();
  disk_.status = absl::ResourceExhaustedError("disk full");
  EXPECT_EQ(StepsOfHearing(StopWith(9, clock_)), "9:RECEIVED 9:ACCEPTED 7:CANCELLED(stopped) 9:DONE");
  EXPECT_EQ(Write(), "");
  EXPECT_EQ(StepsOfHearing(StopWith(9, clock_)), "9:DONE");
}

TEST_F(CommandDeskTest, JumpsOfTheWallClockChangeNothing) {
  StepsOfHearing(Line(7));
  clock_.JumpWall(absl::Hours(1));
  EXPECT_EQ(Write(), "7:RUNNING");
  clock_.JumpWall(-absl::Hours(2));
  EXPECT_EQ(Run(absl::Seconds(2)), "7:DONE");
  const v1::Command command = Line(8);
  clock_.JumpWall(absl::Hours(3));
  EXPECT_EQ(StepsOfHearing(command), "8:RECEIVED 8:ACCEPTED");
}

TEST_F(CommandDeskTest, NonsenseIsNoBeat) {
  v1::ServerBeat beat = BeatAt(clock_);
  beat.set_steady_unix_ms(~uint64_t{0});
  EXPECT_FALSE(desk_->Hear(beat, now()));
  EXPECT_EQ(StepsOfHearing(Line(7)), "7:RECEIVED 7:ACCEPTED");
}

}  // namespace
}  // namespace fleet::device
