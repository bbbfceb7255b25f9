#include "device/can/j1939_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Heard {
  uint32_t pgn;
  uint8_t source;
  uint8_t destination;
  std::vector<uint8_t> data;
};

// A transport and a bus whose clock stands still unless a test moves it.
class TransportTest : public ::testing::Test {
 protected:
  void Hear(absl::string_view text) { Hear(*ParseCanFrameText(text)); }
  void Hear(CanFrame frame) {
    if (frame.at_unix_us == 0) frame.at_unix_us = at_unix_us_;
    const J1939Id id = ParseJ1939Id(frame.id);
    ASSERT_TRUE(J1939Transport::Carries(id.pgn));
    if (const auto message = transport_.Hear(id, frame)) {
      heard_.push_back(
          {message->pgn, message->source, message->destination, {message->data.begin(), message->data.end()}});
    }
  }
  void Pass(absl::Duration time) { at_unix_us_ += absl::ToInt64Microseconds(time); }
  const J1939Transport::Counters& counters() const { return transport_.counters(); }

  J1939Transport transport_{{kPgnDm1}};
  std::vector<Heard> heard_;
  int64_t at_unix_us_ = 1'700'000'000'000'000;
};

// Packed and unpacked by cantools: tests/vectors/README.md.
TEST(J1939Id, PartsAreThoseOfASecondImplementation) {
  const J1939Id directed = ParseJ1939Id(0x14123456);
  EXPECT_EQ(directed.priority, 5);
  EXPECT_EQ(directed.pgn, 0x1200u);
  EXPECT_EQ(directed.destination, 0x34);
  EXPECT_EQ(directed.source, 0x56);
  const J1939Id broadcast = ParseJ1939Id(0x1FFFFFFF);
  EXPECT_EQ(broadcast.priority, 7);
  EXPECT_EQ(broadcast.pgn, 0x3FFFFu);
  EXPECT_EQ(broadcast.destination, kJ1939Global);
  EXPECT_EQ(broadcast.source, 0xFF);
}

TEST(J1939Id, IdsAreMadeOfTheirParts) {
  for (const uint32_t id : {0x14123456u, 0x1FFFFFFFu, 0x0CF00400u, 0x18FECA00u, 0x18EAFFF9u, 0u, 0x18EFFF00u}) {
    EXPECT_EQ(CanIdOf(ParseJ1939Id(id)), id) << std::hex << id;
  }
}

// Recorded from the J1939 stack of Linux: tests/vectors/README.md.
TEST_F(TransportTest, MessagesOfLinuxArePutTogether) {
  std::ifstream log(absl::StrCat(FLEET_SOURCE_DIR, "/tests/vectors/j1939_linux.log"));
  for (std::string line; std::getline(log, line);) {
    const auto parsed = ParseCandumpLine(line);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    Hear(parsed->frame);
  }
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[0].pgn, kPgnDm1);
  EXPECT_EQ(heard_[0].source, 0x00);
  EXPECT_EQ(heard_[0].destination, kJ1939Global);
  EXPECT_THAT(heard_[0].data, ElementsAre(0x54, 0xff, 0x6e, 0x00, 0x00, 0x05, 0xbe, 0x00, 0x02, 0x01, 0x64, 0x00, 0x01,
                                          0x7e, 0xa8, 0x00, 0x04, 0x03, 0x00, 0x00, 0xe5, 0x7f));
  EXPECT_EQ(heard_[1].source, 0x17);
  EXPECT_EQ(heard_[1].destination, 0x21);
  EXPECT_THAT(heard_[1].data, ElementsAre(0x54, 0xff, 0x6e, 0x00, 0x00, 0x05, 0xbe, 0x00, 0x02, 0x01));
  EXPECT_EQ(counters().messages, 2u);
  EXPECT_EQ(transport_.open(), 0u);
}

TEST_F(TransportTest, TheLongestMessageHas255Packets) {
  Hear("18ECFF00#20F906FFFFCAFE00");
  for (int packet = 1; packet <= 255; ++packet) {
    Pass(absl::Milliseconds(200));
    CanFrame frame = *ParseCanFrameText("18EBFF00#0001020304050607");
    frame.data[0] = packet;
    Hear(frame);
  }
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].data.size(), J1939Transport::kMaxBytes);
  EXPECT_EQ(heard_[0].data.front(), 1);
  EXPECT_EQ(heard_[0].data.back(), 7);
}

TEST_F(TransportTest, SendersMayInterleave) {
  Hear("18ECFF00#200A0002FFCAFE00");
  Hear("18ECFF03#200A0002FFCAFE00");
  Hear("18EBFF00#0101010101010101");
  Hear("18EBFF03#0133333333333333");
  Hear("18EBFF03#02333333FFFFFFFF");
  Hear("18EBFF00#02010101FFFFFFFF");
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[0].source, 3);
  EXPECT_THAT(heard_[0].data, ::testing::Each(0x33));
  EXPECT_EQ(heard_[1].source, 0);
  EXPECT_THAT(heard_[1].data, ::testing::Each(0x01));
}

TEST_F(TransportTest, OtherGroupsAreNotPutTogether) {
  Hear("18ECFF00#20110003FFEBFE00");  // vehicle identification
  EXPECT_EQ(transport_.open(), 0u);
  Hear("18EBFF00#0101010101010101");
  EXPECT_THAT(heard_, IsEmpty());
  EXPECT_EQ(counters().malformed, 0u);
}

TEST_F(TransportTest, AMissedPacketEndsTheMessage) {
  Hear("18ECFF00#20120003FFCAFE00");
  Hear("18EBFF00#0100FF5B0003015C");
  Hear("18EBFF00#035E000604FFFFFF");
  EXPECT_EQ(counters().sequence, 1u);
  EXPECT_EQ(transport_.open(), 0u);
  Hear("18EBFF00#020004025D000503");
  EXPECT_THAT(heard_, IsEmpty());
}

TEST_F(TransportTest, SilenceOf750MsEndsABroadcast) {
  Hear("18ECFF00#200A0002FFCAFE00");
  Pass(absl::Milliseconds(750));
  Hear("18EBFF00#0101010101010101");
  Pass(absl::Milliseconds(751));
  Hear("18EBFF00#02010101FFFFFFFF");
  EXPECT_THAT(heard_, IsEmpty());
  EXPECT_EQ(counters().timeouts, 1u);
}

TEST_F(TransportTest, AClockThatIsSetBackEndsNothing) {
  Hear("18ECFF00#200A0002FFCAFE00");
  Hear("18EBFF00#0101010101010101");
  Pass(-absl::Hours(1));
  Hear("18EBFF00#02010101FFFFFFFF");
  EXPECT_EQ(heard_.size(), 1u);
}

TEST_F(TransportTest, AnAnnouncementReplacesTheMessageBeforeIt) {
  Hear("18ECFF00#20120003FFCAFE00");
  Hear("18EBFF00#0100FF5B0003015C");
  Hear("18ECFF00#200A0002FFCAFE00");
  EXPECT_EQ(counters().aborted, 1u);
  Hear("18EBFF00#0101010101010101");
  Hear("18EBFF00#02010101FFFFFFFF");
  EXPECT_EQ(heard_.size(), 1u);
}

TEST_F(TransportTest, AReceiverMayAskForPacketsAgain) {
  Hear("18EC2117#100A000202CAFE00");
  Hear("18EC1721#110201FFFFCAFE00");
  Hear("18EB2117#0101010101010101");
  Hear("18EC1721#110201FFFFCAFE00");  // both again
  Hear("18EB2117#0102020202020202");
  Hear("18EC1721#1100FFFFFFCAFE00");  // hold on
  Pass(absl::Seconds(1));
  Hear("18EC1721#110102FFFFCAFE00");
  Hear("18EB2117#02020202FFFFFFFF");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_THAT(heard_[0].data, ::testing::Each(0x02));
}

TEST_F(TransportTest, AReceiverThatIsFurtherThanWeAreShowsThatWeMissedSomething) {
  Hear("18EC2117#1012000303CAFE00");
  Hear("18EC1721#110102FFFFCAFE00");
  EXPECT_EQ(counters().sequence, 1u);
  Hear("18EC2117#1012000303CAFE00");
  Hear("18EC1721#13120003FFCAFE00");
  EXPECT_EQ(counters().sequence, 2u);
  EXPECT_EQ(transport_.open(), 0u);
}

TEST_F(TransportTest, EitherSideMayAbort) {
  Hear("18EC2117#1012000303CAFE00");
  Hear("18EC2117#FF01FFFFFFEBFE00");  // of another group
  EXPECT_EQ(transport_.open(), 1u);
  Hear("18EC2117#FF01FFFFFFCAFE00");
  EXPECT_EQ(transport_.open(), 0u);
  Hear("18EC2117#1012000303CAFE00");
  Hear("18EC1721#FF01FFFFFFCAFE00");
  EXPECT_EQ(transport_.open(), 0u);
  EXPECT_EQ(counters().aborted, 2u);
}

TEST_F(TransportTest, AnnouncementsThatCannotBeAreRefused) {
  for (const absl::string_view text :
       {"18ECFF00#20080002FFCAFE00", "18ECFF00#20FA06FFFFCAFE00", "18ECFF00#20120002FFCAFE00",
        "18ECFF00#20120000FFCAFE00", "18EC2100#20120003FFCAFE00", "18ECFF00#10120003FFCAFE00",
        "18ECFF00#20120003FFCAFE", "18ECFF00#07120003FFCAFE00", "18ECFF00#"}) {
    const uint64_t before = counters().malformed;
    Hear(text);
    EXPECT_EQ(counters().malformed, before + 1) << text;
  }
  EXPECT_EQ(transport_.open(), 0u);
}

TEST_F(TransportTest, APacketMayEndWithItsLastByteButNotBefore) {
  Hear("18ECFF00#200A0002FFCAFE00");
  Hear("18EBFF00#0101010101010101");
  Hear("18EBFF00#02010101");
  EXPECT_EQ(heard_.size(), 1u);
  Hear("18ECFF00#200A0002FFCAFE00");
  Hear("18EBFF00#01010101010101");
  EXPECT_EQ(counters().malformed, 1u);
  EXPECT_EQ(transport_.open(), 0u);
}

TEST_F(TransportTest, TooManySessionsAreRefusedUntilOthersFallSilent) {
  CanFrame announcement = *ParseCanFrameText("18ECFF00#200A0002FFCAFE00");
  for (size_t source = 0; source <= J1939Transport::kMaxSessions; ++source) {
    announcement.id = 0x18ECFF00 + source;
    Hear(announcement);
  }
  EXPECT_EQ(transport_.open(), J1939Transport::kMaxSessions);
  EXPECT_EQ(counters().no_place, 1u);
  Pass(absl::Seconds(1));
  Hear(announcement);
  EXPECT_EQ(transport_.open(), 1u);
  EXPECT_EQ(counters().timeouts, J1939Transport::kMaxSessions);
}

}  // namespace
}  // namespace fleet::device
