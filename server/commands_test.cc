#include "server/commands.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/testing/fake_clock.h"

namespace fleet::server {
namespace {

constexpr v1::CommandState kQueued = v1::COMMAND_STATE_QUEUED;
constexpr v1::CommandState kSent = v1::COMMAND_STATE_SENT;
constexpr v1::CommandState kReceived = v1::COMMAND_STATE_RECEIVED;
constexpr v1::CommandState kAccepted = v1::COMMAND_STATE_ACCEPTED;
constexpr v1::CommandState kRunning = v1::COMMAND_STATE_RUNNING;
constexpr v1::CommandState kDone = v1::COMMAND_STATE_DONE;
constexpr v1::CommandState kRejected = v1::COMMAND_STATE_REJECTED;
constexpr v1::CommandState kExpired = v1::COMMAND_STATE_EXPIRED;
constexpr v1::CommandState kUnknown = v1::COMMAND_STATE_UNKNOWN;

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() : CommandsTest({.max_open = 100'000, .max_ttl = absl::Hours(1), .first_id = CommandId{1}}) {}
  explicit CommandsTest(const Commands::Options& options) : commands_(options) {
    device_ = registry_.Add(*DeviceId::Parse("a17"));
    other_ = registry_.Add(*DeviceId::Parse("b18"));
  }

  absl::StatusOr<CommandId> Submit(absl::Duration ttl = absl::Seconds(5)) {
    return commands_.Submit(*device_, v1::Segment(), ttl, 0, clock_, rows_);
  }
  // What the store and the link would do.
  CommandId SubmitAndSend(absl::Duration ttl = absl::Seconds(5)) {
    const CommandId id = *Submit(ttl);
    Commit();
    Send(id, true);
    return id;
  }
  std::vector<CommandId> Commit() {
    std::vector<CommandId> due;
    commands_.Committed(rows_.number++, due);
    return due;
  }
  void Send(CommandId id, bool ok) { commands_.Sent(id, ok, registry_, clock_, rows_); }
  void DeviceSays(CommandId id, v1::CommandState state, const std::string& reason = "") {
    commands_.Update(*device_, MakeUpdate(id, state, reason), clock_, rows_);
  }
  static v1::CommandUpdate MakeUpdate(CommandId id, v1::CommandState state, const std::string& reason) {
    v1::CommandUpdate update;
    update.set_command_id(Number(id));
    update.set_state(state);
    update.set_reason(reason);
    return update;
  }
  std::vector<CommandId> Pass(absl::Duration d, bool link_up = true) {
    std::vector<CommandId> due;
    clock_.Advance(d);
    commands_.Tick(link_up, registry_, clock_, rows_, due);
    return due;
  }
  v1::CommandState StateOf(CommandId id) const { return commands_.Find(id)->state(); }
  std::string ReasonOf(CommandId id) const { return commands_.Find(id)->steps.back().reason; }
  std::vector<v1::CommandState> StatesOf(CommandId id) const {
    std::vector<v1::CommandState> states;
    for (const CommandStepRow& step : commands_.Find(id)->steps) states.push_back(step.state);
    return states;
  }

  FakeClock clock_;
  Registry registry_{10};
  Commands commands_;
  Device* device_;
  Device* other_;
  RowBatch rows_{.number = 1};
};

using Path = std::vector<v1::CommandState>;

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

TEST_F(CommandsTest, DueOnlyOnceItsBatchIsCommitted) {
  rows_.number = 5;
  const CommandId early = *Submit();
  rows_.number = 7;
  const CommandId late = *Submit();
  std::vector<CommandId> due;
  commands_.Committed(4, due);
  EXPECT_TRUE(due.empty());
  commands_.Committed(6, due);
  EXPECT_EQ(due, std::vector{early});
  due.clear();
  commands_.Committed(7, due);
  EXPECT_EQ(due, std::vector{late});
  due.clear();
  commands_.Committed(8, due);
  EXPECT_TRUE(due.empty()) << "a command is due once";
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
  for (auto end : {v1::COMMAND_STATE_FAILED, v1::COMMAND_STATE_SUPERSEDED, v1::COMMAND_STATE_CANCELLED}) {
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

TEST_F(CommandsTest, StepsThatGoBackOrRepeatAreIgnoredAndCounted) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kRunning);
  for (auto state : {kRunning, kReceived, kAccepted, kUnknown}) DeviceSays(id, state);
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, kRunning}));
  EXPECT_EQ(commands_.counters().ignored_updates, 4u);
}

TEST_F(CommandsTest, NothingFollowsAnEnd) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kDone);
  for (auto state : {kReceived, kRunning, kDone, v1::COMMAND_STATE_FAILED, kExpired, kUnknown}) DeviceSays(id, state);
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
  EXPECT_TRUE(Commit().empty());
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
}

TEST_F(CommandsTest, RunningMayOutliveItsTime) {
  const CommandId id = SubmitAndSend(absl::Seconds(5));
  DeviceSays(id, kRunning);
  Pass(absl::Hours(2));
  EXPECT_EQ(StateOf(id), kRunning);
}

TEST_F(CommandsTest, LaterWordResolvesUnknown) {
  const CommandId id = SubmitAndSend(absl::Seconds(5));
  Pass(absl::Seconds(7));
  Pass(absl::Seconds(7));
  ASSERT_EQ(StateOf(id), kUnknown);
  DeviceSays(id, kReceived);
  EXPECT_EQ(commands_.open_count(), 1u);
  DeviceSays(id, kRunning);
  DeviceSays(id, kDone);
  EXPECT_EQ(StatesOf(id), (Path{kQueued, kSent, kUnknown, kReceived, kRunning, kDone}));
  EXPECT_EQ(commands_.open_count(), 0u);
  EXPECT_TRUE(device_->open_commands.empty());
}

TEST_F(CommandsTest, OldWordDoesNotReviveAnUnknown) {
  const CommandId id = SubmitAndSend();
  DeviceSays(id, kReceived);
  DeviceSays(id, kRunning);
  commands_.DeviceGone(*device_, "device_offline_lost", clock_, rows_);
  DeviceSays(id, kReceived);  // a second copy that comes late
  DeviceSays(id, kRunning);
  EXPECT_EQ(StateOf(id), kUnknown);
  EXPECT_EQ(commands_.counters().ignored_updates, 2u);
  EXPECT_EQ(commands_.open_count(), 0u);
  DeviceSays(id, kDone);
  EXPECT_EQ(StateOf(id), kDone);
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

TEST_F(CommandsTest, RefusedByTheLinkIsDueAgainWhenTheLinkIsUp) {
  const CommandId id = *Submit();
  Commit();
  Send(id, false);
  EXPECT_EQ(StateOf(id), kQueued);
  EXPECT_EQ(commands_.NextDue(/*link_up=*/true), clock_.Read().mono + absl::Milliseconds(100));
  EXPECT_EQ(commands_.NextDue(/*link_up=*/false), clock_.Read().mono + absl::Seconds(5))
      << "nothing to try without a link";
  EXPECT_TRUE(Pass(absl::Milliseconds(99)).empty());
  EXPECT_TRUE(Pass(absl::Milliseconds(500), /*link_up=*/false).empty());
  EXPECT_EQ(Pass(absl::Milliseconds(1)), std::vector{id});
  EXPECT_TRUE(Pass(absl::Milliseconds(200)).empty()) << "due once per refusal";
  Send(id, true);
  EXPECT_EQ(StateOf(id), kSent);
}

TEST_F(CommandsTest, RefusedAndThenTooOldIsNotSentAnyMore) {
  const CommandId id = *Submit(absl::Milliseconds(50));
  Commit();
  Send(id, false);
  EXPECT_TRUE(Pass(absl::Milliseconds(200)).empty());
  EXPECT_EQ(StateOf(id), kExpired);
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

TEST_F(CommandsTest, EndedOnesAreKeptUpToABound) {
  std::vector<CommandId> ids;
  for (size_t i = 0; i < Commands::kKeepEnded + 10; ++i) {
    ids.push_back(SubmitAndSend());
    DeviceSays(ids.back(), kDone);
  }
  EXPECT_EQ(commands_.Find(ids[9]), nullptr);
  EXPECT_NE(commands_.Find(ids[10]), nullptr);
  EXPECT_NE(commands_.Find(ids.back()), nullptr);
  Pass(absl::Hours(1));  // deadlines of forgotten ones come and go
}

TEST_F(CommandsTest, RevivedOneIsNotForgottenWhileOpen) {
  const CommandId revived = SubmitAndSend();
  commands_.DeviceGone(*device_, "gone", clock_, rows_);
  DeviceSays(revived, kRunning);
  for (size_t i = 0; i < Commands::kKeepEnded + 10; ++i) DeviceSays(SubmitAndSend(), kDone);
  ASSERT_NE(commands_.Find(revived), nullptr);
  DeviceSays(revived, kDone);
  EXPECT_EQ(StateOf(revived), kDone);
}

TEST_F(CommandsTest, DeviceThatFlapsDoesNotGrowACommandWithoutEnd) {
  const CommandId id = SubmitAndSend();
  for (int i = 0; i < 1000; ++i) {
    commands_.DeviceGone(*device_, "gone", clock_, rows_);
    DeviceSays(id, kReceived);
    DeviceSays(id, kRunning);
  }
  EXPECT_LE(commands_.Find(id)->steps.size(), 33u);
}

SavedCommand SavedAs(CommandId id, const Device& device, Path path) {
  SavedCommand saved{.row = {.id = id, .device_row = device.row, .ttl_ms = 5000}, .steps = {}};
  for (auto state : path) {
    saved.steps.push_back({.id = id, .number = static_cast<uint32_t>(saved.steps.size()), .state = state});
  }
  return saved;
}

TEST_F(CommandsTest, AfterARestartOpenOnesAreUnknownUntilTheDeviceSpeaks) {
  commands_.Restore(*device_, SavedAs(CommandId{70}, *device_, {kQueued, kSent, kRunning}), clock_, rows_);
  commands_.Restore(*device_, SavedAs(CommandId{71}, *device_, {kQueued}), clock_, rows_);
  EXPECT_EQ(StateOf(CommandId{70}), kUnknown);
  EXPECT_EQ(ReasonOf(CommandId{70}), "server_restarted");
  EXPECT_EQ(StateOf(CommandId{71}), kUnknown) << "sent, perhaps, in the last moment of the server's life";
  EXPECT_EQ(commands_.open_count(), 0u);
  ASSERT_EQ(rows_.steps.size(), 2u);
  EXPECT_EQ(rows_.steps[0].number, 3u) << "steps are numbered on";
  DeviceSays(CommandId{70}, kDone);
  EXPECT_EQ(StateOf(CommandId{70}), kDone);
  DeviceSays(CommandId{71}, kDone);
  EXPECT_EQ(StateOf(CommandId{71}), kDone);
}

}  // namespace
}  // namespace fleet::server
