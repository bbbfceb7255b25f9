// Frames marked [p] were made by python-can-isotp 2.0.4 with itself at the other end, [e] are captures in the ELM327
// data sheet: tests/vectors/README.md.
#include "device/can/isotp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/can/candump.h"
#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr IsoTpId kEcu{.id = 0x7E8, .extended = false};
constexpr IsoTpId kTester{.id = 0x7E0, .extended = false};

CanFrame Frame(absl::string_view text) {
  auto frame = ParseCanFrameText(text);
  EXPECT_TRUE(frame.ok()) << frame.status();
  return frame.value_or(CanFrame{});
}
std::string Text(const CanFrame& frame) {
  std::string text;
  AppendCanFrameText(frame, text);
  return text;
}
std::vector<std::string> Texts(const std::vector<CanFrame>& frames) {
  std::vector<std::string> texts;
  for (const CanFrame& frame : frames) texts.push_back(Text(frame));
  return texts;
}
// What the messages of [p] hold.
std::vector<uint8_t> Sevens(size_t size) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 3);
  return bytes;
}

class IsoTpReceiving : public testing::Test {
 protected:
  std::optional<std::vector<uint8_t>> Hear(absl::string_view text) {
    return receiver_.Hear(Frame(text), clock_.Read().mono, sent_);
  }
  const IsoTpReceiver::Counters& counted() const { return receiver_.counters(); }

  FakeClock clock_;
  IsoTpReceiver receiver_{{.answer = kTester}};
  std::vector<CanFrame> sent_;
};

TEST_F(IsoTpReceiving, OneFrameIsOneMessagePaddedOrNot) {
  EXPECT_EQ(Hear("7E8#07030A11181F262D"), Sevens(7));  // [p]
  EXPECT_EQ(Hear("7E8#04410C1770"), (std::vector<uint8_t>{0x41, 0x0C, 0x17, 0x70}));
  EXPECT_EQ(Hear("7E8#04410C1770555555"), (std::vector<uint8_t>{0x41, 0x0C, 0x17, 0x70}));
  EXPECT_THAT(sent_, IsEmpty());
  EXPECT_EQ(counted().messages, 3u);
}

TEST_F(IsoTpReceiving, AnIdentificationNumberTakesThreeFrames) {
  // [e] page 43: answer to 09 02.
  EXPECT_EQ(Hear("7E8#1014490201314434"), std::nullopt);
  EXPECT_THAT(Texts(sent_), ElementsAre("7E0#300000CCCCCCCCCC"));
  EXPECT_EQ(Hear("7E8#2147503030523535"), std::nullopt);
  const auto message = Hear("7E8#2242313233343536");
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(std::string(message->begin() + 3, message->end()), "1D4GP00R55B123456");
  EXPECT_FALSE(receiver_.receiving());
  EXPECT_EQ(receiver_.NextDue(), MonoTime::Max());
}

TEST_F(IsoTpReceiving, FlowControlGoesTo29BitIdsAsWell) {
  receiver_ = IsoTpReceiver({.answer = {.id = 0x18DA10F1, .extended = true}});
  Hear("18DAF110#1014030A11181F26");  // [p]
  Hear("18DAF110#212D343B42495057");
  EXPECT_EQ(Hear("18DAF110#225E656C737A8188"), Sevens(20));
  EXPECT_THAT(Texts(sent_), ElementsAre("18DA10F1#300000CCCCCCCCCC"));
}

TEST_F(IsoTpReceiving, BlocksAreGrantedOneByOne) {
  receiver_ = IsoTpReceiver({.answer = {.id = 0x7E1, .extended = false}, .block_size = 3, .separation = 2});
  std::optional<std::vector<uint8_t>> message;
  for (const char* text : {"7E9#103E030A11181F26", "7E9#212D343B42495057", "7E9#225E656C737A8188",
                           "7E9#238F969DA4ABB2B9", "7E9#24C0C7CED5DCE3EA", "7E9#25F1F8FF060D141B",
                           "7E9#26222930373E454C", "7E9#27535A61686F767D", "7E9#28848B9299A0A7AE"}) {  // [p]
    EXPECT_EQ(message, std::nullopt);
    message = Hear(text);
  }
  EXPECT_EQ(message, Sevens(62));
  EXPECT_THAT(Texts(sent_), ElementsAre("7E1#300302CCCCCCCCCC", "7E1#300302CCCCCCCCCC", "7E1#300302CCCCCCCCCC"));
}

TEST_F(IsoTpReceiving, AWrongNumberLosesTheWholeMessage) {
  Hear("7E8#1014490201314434");
  EXPECT_EQ(Hear("7E8#2242313233343536"), std::nullopt);
  EXPECT_FALSE(receiver_.receiving());
  EXPECT_EQ(Hear("7E8#2147503030523535"), std::nullopt);
  EXPECT_EQ(counted().out_of_sequence, 1u);
  EXPECT_EQ(counted().messages, 0u);
}

TEST_F(IsoTpReceiving, AMessageThatStopsIsGivenUpAfterASecond) {
  Hear("7E8#1014490201314434");
  clock_.Advance(absl::Milliseconds(999));
  Hear("7E8#2147503030523535");
  EXPECT_TRUE(receiver_.receiving());
  EXPECT_EQ(receiver_.NextDue(), clock_.Read().mono + absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Hear("7E8#2242313233343536"), std::nullopt);
  EXPECT_EQ(counted().timed_out, 1u);
}

TEST_F(IsoTpReceiving, ANewMessageTakesThePlaceOfAnUnfinishedOne) {
  Hear("7E8#1014490201314434");
  EXPECT_EQ(Hear("7E8#03410D28"), (std::vector<uint8_t>{0x41, 0x0D, 0x28}));
  EXPECT_EQ(Hear("7E8#2147503030523535"), std::nullopt);
  Hear("7E8#1014490201314434");
  Hear("7E8#1008030A11181F26");
  EXPECT_EQ(Hear("7E8#212D34"), Sevens(8));
  EXPECT_EQ(counted().interrupted, 2u);
}

TEST_F(IsoTpReceiving, WhatIsTooLongIsRefusedAtOnce) {
  receiver_ = IsoTpReceiver({.answer = kTester, .max_bytes = 19});
  Hear("7E8#1014490201314434");
  Hear("7E8#1000000010000102");  // the longer form of 2016: 32 bits of length
  EXPECT_THAT(Texts(sent_), ElementsAre("7E0#320000CCCCCCCCCC", "7E0#320000CCCCCCCCCC"));
  EXPECT_FALSE(receiver_.receiving());
  EXPECT_EQ(counted().too_long, 2u);
}

TEST_F(IsoTpReceiving, FramesThatNoSenderMakesAreCountedAndLeaveWhatIsUnderWay) {
  Hear("7E8#1008030A11181F26");
  const char* bad[] = {"7E8#",        "7E8#00",       "7E8#0841424344454647", "7E8#0541",
                       "7E8#R8",      "7E8##0024142", "7E8#1007410102030405", "7E8#10144902013144",
                       "7E8#40000000"};
  for (const char* text : bad) EXPECT_EQ(Hear(text), std::nullopt) << text;
  EXPECT_EQ(counted().malformed, 9u);
  EXPECT_EQ(Hear("7E8#300000"), std::nullopt);
  EXPECT_EQ(Hear("7E8#212D34"), Sevens(8));
}

TEST_F(IsoTpReceiving, ACutConsecutiveFrameLosesTheMessage) {
  Hear("7E8#1008030A11181F26");
  EXPECT_EQ(Hear("7E8#212D"), std::nullopt);
  EXPECT_FALSE(receiver_.receiving());
  EXPECT_EQ(counted().malformed, 1u);
}

class IsoTpSending : public testing::Test {
 protected:
  void Hear(absl::string_view text) { sender_.Hear(Frame(text), clock_.Read().mono, sent_); }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    sender_.Tick(clock_.Read().mono, sent_);
  }
  absl::Status Send(std::vector<uint8_t> message) {
    return sender_.Send(std::move(message), clock_.Read().mono, sent_);
  }

  FakeClock clock_;
  IsoTpSender sender_{kEcu};
  std::vector<CanFrame> sent_;
};

TEST_F(IsoTpSending, ShortMessagesGoOutAtOnce) {
  EXPECT_EQ(Send(Sevens(7)), absl::OkStatus());
  EXPECT_EQ(Send({0x01, 0x0C}), absl::OkStatus());
  EXPECT_THAT(Texts(sent_), ElementsAre("7E8#07030A11181F262D", "7E8#02010CCCCCCCCCCC"));  // [p]
  EXPECT_FALSE(sender_.busy());
  EXPECT_EQ(Send({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Send(Sevens(4096)).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IsoTpSending, LongOnesWaitForFlowControl) {
  EXPECT_EQ(Send(Sevens(8)), absl::OkStatus());
  EXPECT_EQ(Send(Sevens(8)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Texts(sent_), ElementsAre("7E8#1008030A11181F26"));  // [p]
  Hear("7E0#300000");
  EXPECT_EQ(Text(sent_.back()), "7E8#212D34CCCCCCCCCC");
  EXPECT_FALSE(sender_.busy());
  EXPECT_EQ(sender_.result(), absl::OkStatus());
}

TEST_F(IsoTpSending, BlocksAndPausesOfTheReceiverAreKept) {
  ASSERT_EQ(Send(Sevens(62)), absl::OkStatus());
  Hear("7E0#300302");  // blocks of 3, 2 ms between frames
  EXPECT_EQ(sent_.size(), 2u);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sender_.NextDue(), clock_.Read().mono + absl::Milliseconds(1));
  Pass(absl::Milliseconds(1));
  Pass(absl::Milliseconds(2));
  EXPECT_EQ(sent_.size(), 4u);
  Pass(absl::Milliseconds(2));
  EXPECT_EQ(sent_.size(), 4u);
  Hear("7E0#3000F3");  // the rest, 300 us between frames
  EXPECT_EQ(sender_.NextDue(), clock_.Read().mono + absl::Microseconds(300));
  for (int i = 0; i < 4; ++i) Pass(absl::Microseconds(300));
  EXPECT_EQ(Text(sent_.back()), "7E8#28848B9299A0A7AE");  // [p]
  EXPECT_EQ(sent_.size(), 9u);
  EXPECT_FALSE(sender_.busy());
}

TEST_F(IsoTpSending, ReservedPausesAreTheLongest) {
  ASSERT_EQ(Send(Sevens(30)), absl::OkStatus());
  Hear("7E0#300080");
  EXPECT_EQ(sender_.NextDue(), clock_.Read().mono + absl::Milliseconds(127));
}

TEST_F(IsoTpSending, TheLongestMessageNeeds586FramesAndNumbersWrap) {
  ASSERT_EQ(Send(Sevens(kMaxIsoTpBytes)), absl::OkStatus());
  Hear("7E0#300000");
  EXPECT_EQ(sent_.size(), 1u + IsoTpSender::kBurst);
  while (sender_.busy()) Pass(absl::ZeroDuration());
  EXPECT_EQ(sent_.size(), 586u);
  EXPECT_EQ(Text(sent_.front()), "7E8#1FFF030A11181F26");  // [p]
  EXPECT_EQ(Text(sent_.back()), "7E8#29F5CCCCCCCCCCCC");
  IsoTpReceiver receiver({.answer = kTester});
  std::optional<std::vector<uint8_t>> message;
  std::vector<CanFrame> flow;
  for (const CanFrame& frame : sent_) message = receiver.Hear(frame, clock_.Read().mono, flow);
  EXPECT_EQ(message, Sevens(kMaxIsoTpBytes));
}

TEST_F(IsoTpSending, ItEndsWhenTheReceiverDoesNotWantOrAnswer) {
  ASSERT_EQ(Send(Sevens(8)), absl::OkStatus());
  Pass(absl::Seconds(1));
  EXPECT_EQ(sender_.result().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(Send(Sevens(8)), absl::OkStatus());
  Hear("7E0#320000");
  EXPECT_EQ(sender_.result().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(Send(Sevens(8)), absl::OkStatus());
  Hear("7E0#330000");
  EXPECT_EQ(sender_.result().code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(sender_.busy());
}

TEST_F(IsoTpSending, WaitingHasAnEnd) {
  ASSERT_EQ(Send(Sevens(8)), absl::OkStatus());
  for (int i = 0; i < IsoTpSender::kMaxWaits; ++i) {
    clock_.Advance(absl::Milliseconds(900));
    Hear("7E0#310000");
    EXPECT_TRUE(sender_.busy());
  }
  Hear("7E0#310000");
  EXPECT_EQ(sender_.result().code(), absl::StatusCode::kAborted);
}

TEST_F(IsoTpSending, WhatIsNoFlowControlIsPassedOver) {
  ASSERT_EQ(Send(Sevens(8)), absl::OkStatus());
  for (const char* text : {"7E0#3000", "7E0#0141", "7E0#R8", "7E0##0300000"}) Hear(text);
  EXPECT_EQ(sent_.size(), 1u);
  EXPECT_TRUE(sender_.busy());
}

}  // namespace
}  // namespace fleet::device
