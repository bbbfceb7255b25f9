#include "device/can/canopen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"

namespace fleet::device {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(CanOpen, ProcessDataNamesItsNode) {
  EXPECT_EQ(CanOpenNodeOf(0x185), 5);
  EXPECT_EQ(CanOpenNodeOf(0x1FF), 127);
  EXPECT_EQ(CanOpenNodeOf(0x285), 5);
  EXPECT_EQ(CanOpenNodeOf(0x4FF), 127);
  for (const uint32_t id : {0x000u, 0x085u, 0x105u, 0x180u, 0x205u, 0x305u, 0x505u, 0x585u, 0x605u, 0x705u, 0x10185u}) {
    EXPECT_EQ(CanOpenNodeOf(id), std::nullopt) << std::hex << id;
  }
}

// Nodes 5 (silent after a second, with the one signal of the book) and 6 (after two); others are not watched.
class CanOpenTest : public ::testing::Test {
 protected:
  void Hear(absl::string_view text) {
    CanFrame frame = *ParseCanFrameText(text);
    frame.at_unix_us = 1'700'000'000'123'456;
    EXPECT_TRUE(CanOpenNodes::Wants(frame)) << text;
    nodes_.Hear(frame, now_, effects_);
  }
  // Time goes by as the loop sees it: it ticks when something is due.
  void Pass(absl::Duration time) {
    const MonoTime end = now_.mono + time;
    while (nodes_.NextDue() <= end) {
      now_.mono = std::max(now_.mono, nodes_.NextDue());
      nodes_.Tick(now_, effects_);
    }
    now_.mono = end;
  }
  // "can0 node 5: operational" of each event since the last call.
  std::vector<std::string> Events() {
    std::vector<std::string> events;
    for (const v1::Event& event : effects_.events) events.push_back(absl::StrCat(event.name(), ": ", event.detail()));
    effects_.events.clear();
    return events;
  }
  std::vector<std::string> Signal() {
    std::vector<std::string> texts;
    for (const Publication& publication : effects_.publish) texts.push_back(publication.payload);
    effects_.publish.clear();
    return texts;
  }
  void GiveSignal(double value) { signals_.Update(0, value, 1, now_.mono, effects_); }

  Now now_{MonoTime::FromNanos(1'000'000'000'000), absl::FromUnixSeconds(1'700'000'000)};
  SignalBook signals_{*DeviceId::Parse("pi-1"), {{.topic = "axle/load"}}};
  CanEffects effects_;
  CanOpenNodes nodes_{{.bus_name = "can0",
                       .nodes = {{.node = 5, .silent_after = absl::Seconds(1), .signals = {0}},
                                 {.node = 6, .silent_after = absl::Seconds(2), .signals = {}}}},
                      signals_,
                      now_.mono};
};

// The states of CiA 301.
TEST_F(CanOpenTest, EveryChangeOfStateIsTold) {
  for (const absl::string_view text : {"705#00", "705#7F", "705#7F", "705#05", "705#05", "705#04"}) Hear(text);
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: boot_up", "can0 node 5: pre_operational", "can0 node 5: operational",
                                    "can0 node 5: stopped"));
  EXPECT_EQ(nodes_.state(5), "stopped");
  EXPECT_EQ(nodes_.state(6), "unknown");
}

TEST_F(CanOpenTest, EventsHaveTheTimeOfTheFrame) {
  Hear("705#05");
  ASSERT_THAT(effects_.events, SizeIs(1));
  EXPECT_EQ(effects_.events[0].kind(), v1::EVENT_KIND_CANOPEN_STATE);
  EXPECT_EQ(effects_.events[0].at_unix_ms(), 1'700'000'000'123u);
}

TEST_F(CanOpenTest, NodesThatNobodyChoseAreNoticed) {
  Hear("77F#05");
  EXPECT_THAT(Events(), ElementsAre("can0 node 127: operational"));
  Pass(absl::Hours(1));
  EXPECT_EQ(nodes_.state(127), "operational");
}

TEST_F(CanOpenTest, SilenceIsToldOnceAndEndsWithAHeartbeat) {
  Hear("705#05");
  GiveSignal(12);
  Pass(absl::Milliseconds(900));
  Hear("705#05");
  Pass(absl::Milliseconds(999));
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: operational"));
  Pass(absl::Milliseconds(1));
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: silent"));
  EXPECT_THAT(Signal(), ElementsAre("12", "invalid"));
  Hear("705#05");
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: operational"));
}

TEST_F(CanOpenTest, AWatchedNodeThatIsNeverHeardIsSilent) {
  Pass(absl::Hours(1));
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: silent", "can0 node 6: silent"));
  EXPECT_EQ(nodes_.NextDue(), MonoTime::Max());
}

TEST_F(CanOpenTest, AnUnexpectedBootUpMakesSignalsInvalid) {
  Hear("705#05");
  GiveSignal(12);
  Hear("705#05");
  EXPECT_THAT(Signal(), ElementsAre("12"));
  Hear("706#00");
  EXPECT_THAT(Signal(), IsEmpty());
  Hear("705#00");
  EXPECT_THAT(Signal(), ElementsAre("invalid"));
}

TEST_F(CanOpenTest, ABootUpAfterAResetIsExpectedOnce) {
  for (const absl::string_view reset : {"000#8105", "000#8200"}) {
    GiveSignal(12);
    Signal();
    Hear(reset);
    Hear("705#00");
    EXPECT_THAT(Signal(), IsEmpty()) << reset;
    Hear("705#00");
    EXPECT_THAT(Signal(), ElementsAre("invalid")) << reset;
  }
}

TEST_F(CanOpenTest, OtherNmtCommandsAndOldResetsAnnounceNoBootUp) {
  for (const absl::string_view command : {"000#8106", "000#0105", "000#8005", "000#8105"}) {
    GiveSignal(12);
    Signal();
    Hear(command);
    if (command == "000#8105") now_.mono = now_.mono + CanOpenNodes::kResetTakes;
    Hear("705#00");
    EXPECT_THAT(Signal(), ElementsAre("invalid")) << command;
  }
}

TEST_F(CanOpenTest, AnswersToNodeGuardingAreHeartbeatsToo) {
  for (const absl::string_view text : {"705#05", "705#85", "705#05", "705#FF"}) Hear(text);
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: operational", "can0 node 5: pre_operational"));
}

// From the tests of the canopen package for Python: tests/vectors/README.md.
TEST_F(CanOpenTest, EmergenciesAreToldWithCodeRegisterAndBytes) {
  Hear("081#0120020001020304");
  Hear("081#1090010403020100");
  Hear("081#0000000000000000");
  EXPECT_EQ(effects_.events[0].kind(), v1::EVENT_KIND_CANOPEN_EMCY);
  EXPECT_THAT(Events(), ElementsAre("can0 node 1: error 2001 register 02 data 0001020304",
                                    "can0 node 1: error 9010 register 01 data 0403020100",
                                    "can0 node 1: error 0000 register 00 data 0000000000"));
}

TEST_F(CanOpenTest, FramesThatCannotBeAreCounted) {
  for (const absl::string_view text :
       {"705#", "705#0505", "705#06", "705#80", "085#01200200010203", "000#81", "000#8180"}) {
    const uint64_t before = nodes_.counters().malformed;
    Hear(text);
    EXPECT_EQ(nodes_.counters().malformed, before + 1) << text;
  }
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(CanOpenTest, OtherFramesAreNotWanted) {
  for (const absl::string_view text : {"080#", "700#05", "185#0011", "605#40", "705#R1", "00000705#05", "705##005"}) {
    EXPECT_FALSE(CanOpenNodes::Wants(*ParseCanFrameText(text))) << text;
    nodes_.Hear(*ParseCanFrameText(text), now_, effects_);
  }
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(CanOpenTest, ANodeThatSaysTooMuchIsCutButItsLastStateIsTold) {
  for (int i = 0; i < 100; ++i) Hear("085#0120020001020304");
  Hear("705#05");
  EXPECT_THAT(Events(),
              ::testing::AllOf(SizeIs(CanOpenNodes::kMaxEvents), Each("can0 node 5: error 2001 register 02 data "
                                                                      "0001020304")));
  EXPECT_EQ(nodes_.counters().events_over, 100u - CanOpenNodes::kMaxEvents + 1);
  Hear("706#05");
  EXPECT_THAT(Events(), ElementsAre("can0 node 6: operational"));  // each node has its own share
  Pass(CanOpenNodes::kWindow - absl::Milliseconds(1));
  EXPECT_THAT(Events(), IsEmpty());
  Hear("705#05");
  Pass(absl::Milliseconds(1));
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: operational"));
}

TEST_F(CanOpenTest, ANodeThatStartsAgainAndAgainIsTold) {
  Hear("705#00");
  Hear("705#00");
  EXPECT_THAT(Events(), ElementsAre("can0 node 5: boot_up", "can0 node 5: boot_up"));
}

}  // namespace
}  // namespace fleet::device
