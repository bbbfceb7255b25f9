#include "server/command_waiters.h"

#include <gtest/gtest.h>

#include <optional>

#include "server/testing/commands_fixture.h"

namespace fleet::server {
namespace {

class CommandWaitersTest : public CommandsTest {
 protected:
  // Writes what it is answered into `answer`.
  bool WaitFor(CommandId id, v1::CommandState state, absl::Duration timeout, std::optional<v1::CommandState>& answer) {
    return waiters_.Wait({.id = id,
                          .reached = [state](const Command& c) { return c.rank >= state; },
                          .until = In(timeout),
                          .answer = [&answer](const Command* c) { answer = c == nullptr ? kQueued : c->state(); }},
                         commands_);
  }
  // A turn of the loop ends.
  void Turn() {
    changes_.rows = std::exchange(rows_, {.number = rows_.number + 1});
    waiters_.Tick(changes_, commands_, clock_.Read().mono);
    changes_.stored.clear();
  }

  Changes changes_;
  CommandWaiters waiters_;
};

TEST_F(CommandWaitersTest, AnsweredInTheTurnInWhichItComesTrueAndNotBefore) {
  const CommandId id = SubmitAndSend();
  std::optional<v1::CommandState> answer;
  ASSERT_TRUE(WaitFor(id, kAccepted, absl::Seconds(10), answer));
  DeviceSays(id, kReceived);
  Turn();
  EXPECT_EQ(answer, std::nullopt);
  DeviceSays(id, kAccepted);
  DeviceSays(id, kRunning);
  Turn();
  EXPECT_EQ(answer, kRunning);
  EXPECT_EQ(waiters_.count(), 0u);
}

TEST_F(CommandWaitersTest, AnsweredAtOnceWhenItIsThereAlready) {
  const CommandId id = SubmitAndSend();
  std::optional<v1::CommandState> answer;
  ASSERT_TRUE(WaitFor(id, kSent, absl::Seconds(10), answer));
  EXPECT_EQ(answer, kSent);
}

TEST_F(CommandWaitersTest, AnsweredWhenTheCommitIsWhatItWaitsFor) {
  const CommandId id = *Submit();
  bool answered = false;
  ASSERT_TRUE(waiters_.Wait({.id = id,
                             .reached = [](const Command& c) { return c.cleared; },
                             .until = MonoTime::Max(),
                             .answer = [&](const Command*) { answered = true; }},
                            commands_));
  Turn();
  EXPECT_FALSE(answered);
  changes_.stored = CommitUpTo(rows_.number);
  Turn();
  EXPECT_TRUE(answered);
}

TEST_F(CommandWaitersTest, AnsweredWithWhatThereIsExactlyWhenTheTimeIsOver) {
  const CommandId id = SubmitAndSend();
  std::optional<v1::CommandState> answer;
  ASSERT_TRUE(WaitFor(id, kDone, absl::Seconds(2), answer));
  EXPECT_EQ(waiters_.NextDue(), In(absl::Seconds(2)));
  clock_.Advance(absl::Seconds(2) - absl::Nanoseconds(1));
  Turn();
  EXPECT_EQ(answer, std::nullopt);
  clock_.Advance(absl::Nanoseconds(1));
  Turn();
  EXPECT_EQ(answer, kSent);
  EXPECT_EQ(waiters_.NextDue(), MonoTime::Max());
}

TEST_F(CommandWaitersTest, SeveralWaitForOneCommandAndEachForItsOwn) {
  const CommandId id = SubmitAndSend();
  std::optional<v1::CommandState> accepted;
  std::optional<v1::CommandState> done;
  ASSERT_TRUE(WaitFor(id, kAccepted, absl::Seconds(10), accepted));
  ASSERT_TRUE(WaitFor(id, kDone, absl::Seconds(10), done));
  DeviceSays(id, kAccepted);
  Turn();
  EXPECT_EQ(accepted, kAccepted);
  EXPECT_EQ(done, std::nullopt);
}

TEST_F(CommandWaitersTest, BoundedAndAPlaceComesBack) {
  const CommandId id = SubmitAndSend();
  std::optional<v1::CommandState> answer;
  for (size_t i = 0; i < CommandWaiters::kMaxWaiting; ++i) {
    ASSERT_TRUE(WaitFor(id, kDone, absl::Seconds(10), answer));
  }
  EXPECT_FALSE(WaitFor(id, kDone, absl::Seconds(10), answer));
  DeviceSays(id, kDone);
  Turn();
  EXPECT_EQ(waiters_.count(), 0u);
}

TEST_F(CommandWaitersTest, EverybodyIsAnsweredAtTheEnd) {
  const CommandId id = SubmitAndSend();
  std::optional<v1::CommandState> answer;
  ASSERT_TRUE(WaitFor(id, kDone, absl::Seconds(10), answer));
  waiters_.Close(commands_);
  EXPECT_EQ(answer, kSent);
}

}  // namespace
}  // namespace fleet::server
