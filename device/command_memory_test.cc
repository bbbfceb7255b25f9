#include "device/command_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::SizeIs;

constexpr int64_t kServerMs = 1'000'000;

RememberedCommand Taken(uint64_t id, int64_t expires_ms = kServerMs + 5000) {
  return {.id = id, .expires_ms = expires_ms, .entity_id = 1, .state = v1::COMMAND_STATE_ACCEPTED};
}

class CommandMemoryTest : public testing::Test {
 protected:
  MonoTime now() const { return clock_.Read().mono; }
  void Become(uint64_t id, v1::CommandState state) {
    v1::CommandUpdate update;
    update.set_command_id(id);
    update.set_state(state);
    memory_->Change(update);
  }
  SpoolWork Save() {
    SpoolWork work;
    memory_->Save(now(), work);
    return work;
  }
  void Answer(const SpoolWork& work, const absl::Status& status) {
    memory_->Done({.status = status, .asked = work}, now());
  }

  FakeClock clock_;
  SpoolContents contents_;
  std::optional<CommandMemory> memory_{std::in_place, &contents_};
};

TEST_F(CommandMemoryTest, WhatWasTakenIsKnownAndGoesToTheSpoolOnce) {
  EXPECT_TRUE(memory_->Add(Taken(7), kServerMs));
  EXPECT_EQ(memory_->Find(8), nullptr);
  ASSERT_NE(memory_->Find(7), nullptr);
  EXPECT_LE(memory_->NextDue(), now());
  EXPECT_THAT(Save().remember, ElementsAre(Field(&RememberedCommand::id, 7)));
  EXPECT_TRUE(Save().empty());
  EXPECT_EQ(memory_->NextDue(), MonoTime::Max());
}

TEST_F(CommandMemoryTest, StepsOfOneTurnAreOneRow) {
  memory_->Add(Taken(7), kServerMs);
  Become(7, v1::COMMAND_STATE_RUNNING);
  Become(7, v1::COMMAND_STATE_DONE);
  EXPECT_THAT(Save().remember, ElementsAre(Field(&RememberedCommand::state, v1::COMMAND_STATE_DONE)));
  Become(7, v1::COMMAND_STATE_DONE);  // said again
  Become(8, v1::COMMAND_STATE_DONE);  // not known
  EXPECT_TRUE(Save().empty());
}

TEST_F(CommandMemoryTest, WhatTheDiskDidNotTakeIsTriedAgainAfterAWhile) {
  memory_->HearTime(kServerMs);
  memory_->Add(Taken(7), kServerMs);
  Answer(Save(), absl::UnavailableError("full"));
  EXPECT_TRUE(Save().empty());
  EXPECT_EQ(memory_->NextDue(), now() + CommandMemory::kRetryAfter);
  Become(7, v1::COMMAND_STATE_REJECTED);
  const SpoolWork second = Save();  // there is something new
  EXPECT_THAT(second.remember, ElementsAre(Field(&RememberedCommand::state, v1::COMMAND_STATE_REJECTED)));
  EXPECT_EQ(second.memory_began_ms, kServerMs);
  Answer(second, absl::UnavailableError("full"));
  clock_.Advance(CommandMemory::kRetryAfter);
  const SpoolWork third = Save();
  EXPECT_THAT(third.remember, SizeIs(1));
  Answer(third, absl::OkStatus());
  EXPECT_EQ(memory_->NextDue(), MonoTime::Max());
}

TEST_F(CommandMemoryTest, ADiskThatHangsIsNotGivenEverMore) {
  uint64_t id = 0;
  std::vector<SpoolWork> works;
  for (size_t i = 0; i < CommandMemory::kMaxWorks; ++i) {
    memory_->Add(Taken(++id), kServerMs);
    works.push_back(Save());
  }
  memory_->Add(Taken(++id), kServerMs);
  memory_->Add(Taken(++id), kServerMs);
  EXPECT_EQ(memory_->NextDue(), MonoTime::Max());
  EXPECT_TRUE(Save().empty());
  Answer(works[0], absl::OkStatus());
  EXPECT_THAT(Save().remember, SizeIs(2));
}

TEST_F(CommandMemoryTest, WithoutASpoolNothingIsSaved) {
  memory_.emplace(nullptr);
  EXPECT_FALSE(memory_->is_kept());
  memory_->HearTime(kServerMs);
  EXPECT_TRUE(memory_->Add(Taken(7), kServerMs));
  EXPECT_EQ(memory_->NextDue(), MonoTime::Max());
  EXPECT_TRUE(Save().empty());
  EXPECT_NE(memory_->Find(7), nullptr);
}

TEST_F(CommandMemoryTest, WhatHadNotEndedWhenTheLastLifeDidHasFailed) {
  contents_.commands = {Taken(7), Taken(8)};
  contents_.commands[1].state = v1::COMMAND_STATE_DONE;
  memory_.emplace(&contents_);
  EXPECT_EQ(memory_->Find(7)->state, v1::COMMAND_STATE_FAILED);
  EXPECT_EQ(memory_->Find(7)->reason, "device_restarted");
  EXPECT_EQ(memory_->Find(8)->state, v1::COMMAND_STATE_DONE);
  EXPECT_THAT(Save().remember, ElementsAre(Field(&RememberedCommand::id, 7)));
}

TEST_F(CommandMemoryTest, BarriersAreThoseOfTheRememberedCommands) {
  contents_.commands = {Taken(5), Taken(6), Taken(7), Taken(8), Taken(9)};
  contents_.commands[0].is_barrier = true;  // a replacing segment
  contents_.commands[2].is_barrier = contents_.commands[2].is_cancel = true;
  contents_.commands[3].is_barrier = contents_.commands[3].is_cancel = true;
  contents_.commands[3].entity_id = 0;
  memory_.emplace(&contents_);
  EXPECT_EQ(memory_->ReplacedBelow(1), 5);
  EXPECT_EQ(memory_->ReplacedBelow(2), 0);
  EXPECT_EQ(memory_->CancelledBelow(1), 8);
  EXPECT_EQ(memory_->CancelledBelow(2), 8);
}

TEST_F(CommandMemoryTest, ReachesBackToTheFirstBeat) {
  EXPECT_FALSE(memory_->ReachesBackTo(7, kServerMs));
  memory_->HearTime(kServerMs);
  EXPECT_EQ(Save().memory_began_ms, kServerMs);
  EXPECT_TRUE(memory_->ReachesBackTo(7, kServerMs));
  EXPECT_FALSE(memory_->ReachesBackTo(7, kServerMs - 1));
  memory_->HearTime(kServerMs + 1000);
  EXPECT_TRUE(memory_->ReachesBackTo(7, kServerMs));
  EXPECT_TRUE(Save().empty());
}

TEST_F(CommandMemoryTest, ReachesBackToItsFirstLife) {
  contents_.memory_began_ms = kServerMs - 5000;
  memory_.emplace(&contents_);
  memory_->HearTime(kServerMs);
  EXPECT_TRUE(memory_->ReachesBackTo(7, kServerMs - 5000));
  EXPECT_TRUE(Save().empty());
}

TEST_F(CommandMemoryTest, AServerWhoseClockWentBackIsFollowed) {
  memory_->HearTime(kServerMs);
  Save();
  memory_->HearTime(kServerMs - 60'000);
  EXPECT_TRUE(memory_->ReachesBackTo(7, kServerMs - 60'000));
  EXPECT_EQ(Save().memory_began_ms, kServerMs - 60'000);
}

class FullCommandMemoryTest : public CommandMemoryTest {
 protected:
  FullCommandMemoryTest() {
    memory_->HearTime(kServerMs);
    for (uint64_t id = 1; id <= CommandMemory::kMaxCommands; ++id) memory_->Add(Taken(id), kServerMs);
    Save();
  }
  static constexpr int64_t kForgettable = kServerMs + 5000 + CommandMemory::kKeptBeyondExpiryMs;
};

TEST_F(FullCommandMemoryTest, RefusesWhileAllMayStillBeInTime) {
  for (uint64_t id = 1; id <= CommandMemory::kMaxCommands; ++id) Become(id, v1::COMMAND_STATE_DONE);
  EXPECT_FALSE(memory_->Add(Taken(9999), kForgettable - 1));
  EXPECT_FALSE(memory_->Add(Taken(9999), std::nullopt));
  EXPECT_TRUE(memory_->Add(Taken(9999), kForgettable));
}

TEST_F(FullCommandMemoryTest, ForgetsTheOldestThatHasEndedAndSaysUpToWhere) {
  Become(3, v1::COMMAND_STATE_DONE);
  EXPECT_TRUE(memory_->Add(Taken(9999), kForgettable));
  EXPECT_EQ(memory_->size(), CommandMemory::kMaxCommands);
  EXPECT_EQ(memory_->Find(3), nullptr);
  EXPECT_FALSE(memory_->ReachesBackTo(3, kServerMs));
  EXPECT_FALSE(memory_->ReachesBackTo(2, kServerMs));
  EXPECT_TRUE(memory_->ReachesBackTo(10'000, kServerMs));
  const SpoolWork work = Save();
  EXPECT_THAT(work.forget, ElementsAre(3));
  EXPECT_EQ(work.forgotten_up_to, 3);
  EXPECT_THAT(work.remember, ElementsAre(Field(&RememberedCommand::id, 9999)));
  EXPECT_FALSE(memory_->Add(Taken(10'000), kForgettable));  // what runs is not forgotten
}

TEST_F(FullCommandMemoryTest, WhatWasForgottenStaysSoInTheNextLife) {
  contents_.forgotten_up_to = 3;
  contents_.memory_began_ms = 0;
  memory_.emplace(&contents_);
  EXPECT_FALSE(memory_->ReachesBackTo(3, kServerMs));
  EXPECT_TRUE(memory_->ReachesBackTo(4, kServerMs));
}

TEST_F(FullCommandMemoryTest, WhatWouldBeFromTheFutureIsForgottenToo) {
  Become(4096, v1::COMMAND_STATE_DONE);
  const int64_t long_before = kServerMs - 2 * CommandMemory::kMaxTtlMs;
  EXPECT_TRUE(memory_->Add(Taken(9999, long_before + 5000), long_before));
  EXPECT_EQ(memory_->Find(4096), nullptr);
}

TEST_F(FullCommandMemoryTest, ADiskThatNeverTakesAnythingDoesNotFillTheMemory) {
  for (uint64_t id = 1; id <= CommandMemory::kMaxCommands; ++id) Become(id, v1::COMMAND_STATE_DONE);
  uint64_t id = 10'000;
  for (int round = 0; round < 3; ++round) {
    const int64_t server_ms = kForgettable * (round + 1);
    for (size_t i = 0; i < CommandMemory::kMaxCommands; ++i) {
      ASSERT_TRUE(memory_->Add(Taken(++id, server_ms + 5000), server_ms));
      Become(id, v1::COMMAND_STATE_REJECTED);
    }
    const SpoolWork work = Save();
    EXPECT_LE(work.forget.size(), CommandMemory::kMaxCommands);
    EXPECT_LE(work.remember.size(), CommandMemory::kMaxCommands);
    Answer(work, absl::UnavailableError("full"));
  }
}

}  // namespace
}  // namespace fleet::device
