#include "device/command_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/codec.h"
#include "common/testing/fake_clock.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::IsEmpty;

const CommandKey& Key() {
  static const CommandKey key = CommandKey::FromHex(std::string(64, 'a')).value();
  return key;
}

class CommandGateTest : public testing::Test {
 protected:
  CommandGateTest() {
    clock_.Advance(absl::Minutes(1));  // the agent runs for a while
    time_.Hear(BeatAt(clock_), clock_.Read().mono);
    memory_.HearTime(static_cast<int64_t>(began_ms_));
  }

  static CommandGate::Options OptionsWith(std::optional<CommandKey> key) {
    return {.key = key, .entities = {EntityId{1}, EntityId{2}}};
  }
  std::optional<PassedCommand> Judge(absl::string_view payload) {
    updates_.clear();
    return gate_->Judge(payload, time_, clock_.Read().mono, memory_, updates_);
  }
  std::optional<SegmentOrder> JudgeSegment(const v1::Command& command) {
    const std::optional<PassedCommand> passed = Judge(Unsigned(command));
    if (!passed) return std::nullopt;
    return std::get<SegmentOrder>(*passed);
  }
  // The reason of the one answer; the command did not pass.
  std::string RefusalOf(const v1::Command& command) { return RefusalOf(Unsigned(command)); }
  std::string RefusalOf(const std::string& payload) {
    if (Judge(payload)) return "passed";
    if (updates_.size() != 1) return "unanswered";
    return updates_[0].reason();
  }
  // The answer to one that did not pass.
  std::string AnswerTo(const v1::Command& command) { return Judge(Unsigned(command)) ? "passed" : StepsOf(updates_); }
  v1::Command Line(uint64_t id = 7) const { return LineFor(1, id, clock_); }

  FakeClock clock_;
  const uint64_t began_ms_ = ServerMs(clock_);
  ServerTime time_;
  CommandMemory memory_{nullptr};
  std::optional<CommandGate> gate_{OptionsWith(std::nullopt)};
  std::vector<v1::CommandUpdate> updates_;
};

TEST_F(CommandGateTest, AGoodCommandPassesWithWhatRemainsOfItsLife) {
  const v1::Command command = Line();
  clock_.Advance(absl::Seconds(2));
  const auto order = JudgeSegment(command);
  ASSERT_TRUE(order.has_value());
  EXPECT_EQ(order->command, CommandId{7});
  EXPECT_EQ(order->entity, EntityId{1});
  EXPECT_EQ(order->segment.end_x_mm(), 1000);
  EXPECT_EQ(order->expires_at, clock_.Read().mono + absl::Seconds(3));
  EXPECT_TRUE(updates_.empty());
  EXPECT_EQ(gate_->passed(), 1);
  const RememberedCommand* known = memory_.Find(7);
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(known->state, v1::COMMAND_STATE_ACCEPTED);
  EXPECT_EQ(known->expires_ms, static_cast<int64_t>(command.issued_unix_ms() + 5000));
  EXPECT_TRUE(known->is_barrier);
  EXPECT_FALSE(known->is_cancel);
}

TEST_F(CommandGateTest, OversizedIsCountedAndNotEvenParsed) {
  v1::CommandFrame frame;
  frame.set_command(Line().SerializeAsString());
  frame.set_tag(std::string(kMaxPayloadBytes, 'x'));
  EXPECT_EQ(RefusalOf(frame.SerializeAsString()), "unanswered");
  EXPECT_EQ(gate_->refused(Refusal::kOversized), 1);
}

TEST_F(CommandGateTest, MalformedIsCounted) {
  v1::CommandFrame frame;
  frame.set_command("\xff\xff\xff not a command");
  v1::Command without_id = Line();
  without_id.set_id(0);
  EXPECT_EQ(RefusalOf("\xff\xff"), "unanswered");
  EXPECT_EQ(RefusalOf(""), "unanswered");
  EXPECT_EQ(RefusalOf(frame.SerializeAsString()), "unanswered");
  EXPECT_EQ(RefusalOf(without_id), "unanswered");
  EXPECT_EQ(gate_->refused(Refusal::kMalformed), 4);
}

TEST_F(CommandGateTest, ATruncatedCommandIsNotAnsweredWithTheIdThatItBeginsWith) {
  const std::string whole = Line().SerializeAsString();
  v1::CommandFrame frame;
  frame.set_command(whole.substr(0, whole.size() - 1));
  EXPECT_EQ(RefusalOf(frame.SerializeAsString()), "unanswered");
  EXPECT_EQ(gate_->refused(Refusal::kMalformed), 1);
}

TEST_F(CommandGateTest, WithAKeyOnlySignedCommandsPass) {
  gate_.emplace(OptionsWith(Key()));
  std::string forged = Signed(Line(1), Key());
  forged.back() = static_cast<char>(forged.back() ^ 1);
  EXPECT_EQ(RefusalOf(forged), "bad_signature");
  EXPECT_EQ(RefusalOf(Unsigned(Line(2))), "bad_signature");
  EXPECT_EQ(RefusalOf(Signed(Line(3), CommandKey::FromHex(std::string(64, 'b')).value())), "bad_signature");
  EXPECT_EQ(gate_->refused(Refusal::kBadSignature), 3);
  EXPECT_TRUE(Judge(Signed(Line(4), Key())));
}

TEST_F(CommandGateTest, AForgeryNeitherUsesUpAnIdNorSpeaksForOneThatRan) {
  gate_.emplace(OptionsWith(Key()));
  EXPECT_EQ(RefusalOf(Unsigned(Line())), "bad_signature");
  EXPECT_TRUE(Judge(Signed(Line(), Key())));
  EXPECT_EQ(RefusalOf(Unsigned(Line())), "unanswered");
}

TEST_F(CommandGateTest, WithoutAKeyASignedCommandPasses) {
  EXPECT_TRUE(Judge(Signed(Line(), Key())));
}

TEST_F(CommandGateTest, AnotherVersionIsRefused) {
  v1::Command command = Line();
  command.set_protocol(kProtocolVersion + 1);
  EXPECT_EQ(RefusalOf(command), "wrong_version");
}

TEST_F(CommandGateTest, WhatIsTooOldExpires) {
  const v1::Command command = Line();
  clock_.Advance(absl::Milliseconds(5000));
  EXPECT_EQ(RefusalOf(command), "expired");
  EXPECT_EQ(updates_[0].state(), v1::COMMAND_STATE_EXPIRED);
}

TEST_F(CommandGateTest, OneMillisecondBeforeItsEndItStillRuns) {
  const v1::Command command = Line();
  clock_.Advance(absl::Milliseconds(4999));
  EXPECT_TRUE(Judge(Unsigned(command)));
}

TEST_F(CommandGateTest, BeforeTheFirstBeatItsAgeIsUnknown) {
  time_ = ServerTime();
  EXPECT_EQ(RefusalOf(Line()), "clock_unknown");
  EXPECT_EQ(updates_[0].state(), v1::COMMAND_STATE_REJECTED);
}

TEST_F(CommandGateTest, ALittleFromTheFutureIsAnErrorOfTheEstimateMoreIsDoubt) {
  v1::Command command = Line(1);
  command.set_issued_unix_ms(ServerMs(clock_) + 2000);
  const auto order = JudgeSegment(command);
  ASSERT_TRUE(order.has_value());
  EXPECT_EQ(order->expires_at, clock_.Read().mono + absl::Seconds(5));
  command.set_id(2);
  command.set_issued_unix_ms(ServerMs(clock_) + 2001);
  EXPECT_EQ(RefusalOf(command), "clock_unknown");
  command.set_id(3);
  command.set_issued_unix_ms(~uint64_t{0});
  EXPECT_EQ(RefusalOf(command), "clock_unknown");
}

TEST_F(CommandGateTest, WhatWasIssuedBeforeTheMemoryBeganMayHaveRun) {
  v1::Command command = Line(1);
  command.set_ttl_ms(600'000);
  command.set_issued_unix_ms(began_ms_);
  EXPECT_EQ(AnswerTo(command), "passed");
  command.set_id(2);
  command.set_issued_unix_ms(began_ms_ - 1);
  EXPECT_EQ(AnswerTo(command), "2:UNKNOWN(memory_lost)");
  command.set_ttl_ms(1);  // so old that it would have expired: it may have run all the same
  EXPECT_EQ(AnswerTo(command), "2:UNKNOWN(memory_lost)");
  EXPECT_EQ(memory_.Find(2), nullptr);
}

TEST_F(CommandGateTest, WithoutABeatAndWithoutAMemoryNobodyCanSayThatItNeverRan) {
  CommandMemory empty(nullptr);
  EXPECT_FALSE(gate_->Judge(Unsigned(Line()), ServerTime(), clock_.Read().mono, empty, updates_));
  EXPECT_EQ(StepsOf(updates_), "7:UNKNOWN(memory_lost)");
}

TEST_F(CommandGateTest, JumpsOfTheDevicesWallClockDoNotMatter) {
  clock_.JumpWall(absl::Hours(24 * 365));
  EXPECT_TRUE(Judge(Unsigned(Line(1))));
  clock_.JumpWall(-absl::Hours(2 * 24 * 365));
  EXPECT_TRUE(Judge(Unsigned(Line(2))));
}

TEST_F(CommandGateTest, ADuplicateIsAnsweredWithTheStateOfTheCommand) {
  EXPECT_TRUE(Judge(Unsigned(Line())));
  EXPECT_EQ(AnswerTo(Line()), "7:ACCEPTED");
  v1::CommandUpdate update;
  update.set_command_id(7);
  update.set_state(v1::COMMAND_STATE_FAILED);
  update.set_reason("driver");
  update.set_detail("stuck");
  memory_.Change(update);
  EXPECT_EQ(AnswerTo(Line()), "7:FAILED(driver)");
  EXPECT_EQ(updates_[0].detail(), "stuck");
  EXPECT_EQ(gate_->refused(Refusal::kDuplicate), 2);
}

TEST_F(CommandGateTest, WhatWasRefusedOnceIsNotRunLater) {
  time_ = ServerTime();
  const v1::Command command = Line();
  EXPECT_EQ(AnswerTo(command), "7:REJECTED(clock_unknown)");
  time_.Hear(BeatAt(clock_), clock_.Read().mono);
  EXPECT_EQ(AnswerTo(command), "7:REJECTED(clock_unknown)");
  EXPECT_EQ(gate_->refused(Refusal::kDuplicate), 1);
}

TEST_F(CommandGateTest, ADuplicateNeverRunsHoweverLateItComes) {
  const std::string payload = Unsigned(Line());
  EXPECT_TRUE(Judge(payload));
  for (int i = 0; i < 200; ++i) {
    clock_.Advance(absl::Seconds(1));
    EXPECT_FALSE(Judge(payload)) << i;
  }
}

TEST_F(CommandGateTest, TimeToLiveMustBeWithinItsRange) {
  v1::Command command = Line(1);
  command.set_ttl_ms(0);
  EXPECT_EQ(RefusalOf(command), "bad_ttl");
  command.set_id(2);
  command.set_ttl_ms(static_cast<uint32_t>(CommandMemory::kMaxTtlMs + 1));
  EXPECT_EQ(RefusalOf(command), "bad_ttl");
}

TEST_F(CommandGateTest, AnEntityOfAnotherDeviceIsRefused) {
  EXPECT_EQ(RefusalOf(LineFor(3, 7, clock_)), "unknown_entity");
}

TEST_F(CommandGateTest, SegmentsWithoutMeaningAreRefused) {
  auto refuse = [this, id = uint64_t{100}](auto change) mutable {
    v1::Command command = Line(++id);
    change(command);
    return RefusalOf(command);
  };
  using C = v1::Command;
  EXPECT_EQ(refuse([](C& c) { c.clear_segment(); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->clear_type(); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->set_type(static_cast<v1::SegmentType>(99)); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->set_start_speed_mm_s(-1); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->set_mode(static_cast<v1::SegmentMode>(3)); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->set_mode(static_cast<v1::SegmentMode>(-1)); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->set_end_speed_mm_s(-1); }), "bad_segment");
  EXPECT_EQ(refuse([](C& c) {
              c.mutable_segment()->set_start_speed_mm_s(0);
              c.mutable_segment()->set_end_speed_mm_s(0);
            }),
            "bad_segment");
  EXPECT_EQ(refuse([](C& c) { c.mutable_segment()->set_end_speed_mm_s(0); }), "passed");
  EXPECT_EQ(refuse([](C& c) {
              c.mutable_segment()->set_type(v1::SEGMENT_TYPE_HOLD);
              c.mutable_segment()->set_start_speed_mm_s(0);
              c.mutable_segment()->set_end_speed_mm_s(0);
            }),
            "passed");
}

TEST_F(CommandGateTest, ACancelPassesWithItsTarget) {
  const std::optional<PassedCommand> passed = Judge(Unsigned(CancelOfEntity(2, 9, clock_)));
  ASSERT_TRUE(passed.has_value());
  const auto& order = std::get<CancelOrder>(*passed);
  EXPECT_EQ(order.command, CommandId{9});
  EXPECT_EQ(order.cancel.entity_id(), 2);
  EXPECT_EQ(order.issued_ms, static_cast<int64_t>(ServerMs(clock_)));
  EXPECT_EQ(memory_.CancelledBelow(2), 9);
  EXPECT_EQ(memory_.CancelledBelow(1), 0);
}

TEST_F(CommandGateTest, ACancelThatIsTooOldOrOfNothingIsRefused) {
  const v1::Command late = StopWith(9, clock_);
  v1::Command aimless = StopWith(10, clock_);
  aimless.mutable_cancel()->clear_target();
  EXPECT_EQ(RefusalOf(aimless), "bad_segment");
  EXPECT_EQ(RefusalOf(CancelOfCommand(0, 11, clock_)), "bad_segment");
  EXPECT_EQ(RefusalOf(CancelOfEntity(3, 12, clock_)), "unknown_entity");
  v1::Command unwanted = StopWith(13, clock_);
  unwanted.mutable_cancel()->set_stop(false);
  EXPECT_EQ(RefusalOf(unwanted), "bad_segment");
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(RefusalOf(late), "expired");
  EXPECT_EQ(memory_.CancelledBelow(1), 0);
}

TEST_F(CommandGateTest, WhatAStopCoversDoesNotRunWhenItComesLater) {
  EXPECT_TRUE(Judge(Unsigned(StopWith(9, clock_))));
  EXPECT_EQ(AnswerTo(Line(8)), "8:CANCELLED(stopped)");
  EXPECT_EQ(AnswerTo(LineFor(2, 7, clock_)), "7:CANCELLED(stopped)");
  EXPECT_EQ(AnswerTo(CancelOfEntity(1, 6, clock_)), "passed");
  EXPECT_EQ(AnswerTo(Line(10)), "passed");
}

TEST_F(CommandGateTest, WhatIsOlderThanAReplacingSegmentDoesNotRun) {
  EXPECT_TRUE(Judge(Unsigned(LineFor(1, 9, clock_))));
  EXPECT_EQ(AnswerTo(LineFor(1, 8, clock_)), "8:SUPERSEDED(newer_known)");
  EXPECT_EQ(AnswerTo(AppendFor(1, 7, clock_)), "7:SUPERSEDED(newer_known)");
  EXPECT_EQ(AnswerTo(LineFor(2, 6, clock_)), "passed");
}

TEST_F(CommandGateTest, AnAppendedSegmentBarsNothing) {
  EXPECT_TRUE(Judge(Unsigned(AppendFor(1, 9, clock_))));
  EXPECT_EQ(AnswerTo(AppendFor(1, 8, clock_)), "passed");
}

TEST_F(CommandGateTest, AFullMemoryRefusesUntilItMayForget) {
  for (uint64_t id = 1; id <= CommandMemory::kMaxCommands; ++id) ASSERT_TRUE(Judge(Unsigned(Line(id)))) << id;
  EXPECT_EQ(RefusalOf(Line(9'999)), "overloaded");
  v1::CommandUpdate update;
  update.set_command_id(1);
  update.set_state(v1::COMMAND_STATE_DONE);
  memory_.Change(update);
  clock_.Advance(absl::Seconds(5) + absl::Milliseconds(CommandMemory::kKeptBeyondExpiryMs - 1));
  EXPECT_EQ(RefusalOf(Line(9'999)), "overloaded");
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(AnswerTo(Line(10'000)), "passed");
  EXPECT_EQ(AnswerTo(Line(1)), "1:UNKNOWN(memory_lost)");
}

}  // namespace
}  // namespace fleet::device
