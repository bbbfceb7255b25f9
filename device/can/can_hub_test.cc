#include "device/can/can_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/can/can_columns.h"
#include "common/can/candump.h"
#include "device/can/dbc.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Now kNow{.mono = MonoTime::FromNanos(1'000'000'000'000), .wall = absl::FromUnixSeconds(1'700'000'000)};

Now After(absl::Duration duration) {
  return {.mono = kNow.mono + duration, .wall = kNow.wall + duration};
}

CanFrame Frame(absl::string_view text) {
  CanFrame frame = *ParseCanFrameText(text);
  frame.at_unix_us = 1'700'000'000'000'000;
  return frame;
}

// Two buses: car, with a DBC signal and the compatible tunnel; quiet, which is only listened to.
CanPlan Plan() {
  constexpr char kDbc[] = "BU_: ECU\nBO_ 291 Engine: 8 ECU\n SG_ Rpm : 0|16@1+ (0.25,0) [0|16000] \"rpm\" ECU\n";
  const DbcFile dbc = *ParseDbc(kDbc, "car.dbc");
  CanPlan plan;
  plan.signals.push_back({.topic = "engine/rpm", .period = absl::Milliseconds(100)});
  BusPlan car;
  car.name = "car";
  car.dbc.push_back(*FrameDecoder::Choose(dbc.messages[0], dbc.messages[0].signals[0], 0));
  car.max_tap = absl::Minutes(10);
  car.send_allow = {*ParseCanFilter("7DF"), *ParseCanFilter("100:7F0")};
  car.send_rate_hz = 10;
  car.compat_base = "can";
  BusPlan quiet;
  quiet.name = "quiet";
  quiet.listen_only = true;
  quiet.send_allow = {*ParseCanFilter("7DF")};
  quiet.send_rate_hz = 10;
  plan.buses = {car, quiet};
  return plan;
}

class CanHubTest : public ::testing::Test {
 protected:
  CanHubTest() {
    Hear({});
    Hear({}, 1);
  }

  void Hear(std::vector<CanFrame> frames, size_t bus = 0, Now now = kNow) {
    news_.frames = std::move(frames);
    news_.report.up = true;
    hub_.Hear(bus, news_, now, effects_);
    news_.Clear();
  }
  // The bus took the first `sent` frames of what was written last.
  void Finish(size_t sent, absl::Status status = absl::OkStatus()) {
    const CanWrite write = effects_.writes.back();
    effects_.Clear();
    CanOutcome outcome{.order = {.frames = write.frames, .token = write.token}, .sent = sent, .status = status};
    for (size_t i = 0; i < sent; ++i) outcome.order.frames[i].flags |= kCanSent;
    news_.outcomes.push_back(outcome);
    Hear({}, write.bus);
  }

  static v1::Command Send(absl::string_view bus, std::initializer_list<absl::string_view> frames) {
    v1::Command command;
    command.mutable_can_send()->set_bus(std::string(bus));
    command.mutable_can_send()->set_by("joe@desk");
    CanColumns columns;
    for (absl::string_view frame : frames) columns.Add(Frame(frame));
    *command.mutable_can_send()->mutable_frames() = columns.Take();
    return command;
  }
  static v1::Command Tap(absl::string_view bus, absl::Duration duration, bool sent_too = false) {
    v1::Command command;
    command.mutable_can_tap()->set_bus(std::string(bus));
    command.mutable_can_tap()->set_duration_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(duration)));
    command.mutable_can_tap()->set_sent_too(sent_too);
    return command;
  }
  absl::Status Judge(const v1::Command& command) { return hub_.Judge(command, kNow.mono); }
  void Run(uint64_t id, const v1::Command& command) {
    CanCommand order{.command = CommandId{id}, .expires_at = kNow.mono + absl::Seconds(1), .body = {}};
    if (command.has_can_send()) order.body = command.can_send();
    if (command.has_can_tap()) order.body = command.can_tap();
    hub_.Run(order, kNow.mono, effects_);
  }
  std::vector<std::string> Steps() {
    std::vector<std::string> steps;
    for (const v1::CommandUpdate& u : effects_.updates) {
      steps.push_back(absl::StrCat(u.command_id(), " ", v1::CommandState_Name(u.state()).substr(14), " ", u.reason(),
                                   " ", u.detail()));
    }
    effects_.updates.clear();
    return steps;
  }
  std::vector<v1::EventKind> Events() const {
    std::vector<v1::EventKind> kinds;
    for (const v1::Event& event : effects_.events) kinds.push_back(event.kind());
    return kinds;
  }

  CanHub hub_{*DeviceId::Parse("pi-1"), 1, Plan(), kNow.mono};
  CanEffects effects_;
  CanNews news_;
};

TEST_F(CanHubTest, SignalOfAFrameBecomesPlainTextAndASample) {
  Hear({Frame("123#B036000000000000")});
  ASSERT_EQ(effects_.samples.size(), 1u);
  EXPECT_EQ(effects_.samples[0].signal, "engine/rpm");
  EXPECT_EQ(effects_.samples[0].value, 3500);
  EXPECT_EQ(effects_.samples[0].at_unix_ms, 1'700'000'000'000);
  EXPECT_EQ(effects_.publish[0].topic, "rpi/pi-1/engine/rpm");
  EXPECT_EQ(effects_.publish[0].payload, "3500");
}

TEST_F(CanHubTest, FrameOfAnotherBusIsNotTakenForIt) {
  Hear({Frame("123#B036000000000000")}, 1);
  EXPECT_THAT(effects_.samples, IsEmpty());
}

TEST_F(CanHubTest, AllowedFramesGoToTheBusAndTheCommandEndsWithThem) {
  const v1::Command send = Send("car", {"7DF#0201", "105#"});
  ASSERT_TRUE(Judge(send).ok());
  Run(9, send);
  EXPECT_THAT(Steps(), ElementsAre("9 RUNNING  "));
  ASSERT_EQ(effects_.writes.size(), 1u);
  EXPECT_EQ(effects_.writes[0].bus, 0u);
  EXPECT_EQ(effects_.writes[0].frames, (std::vector<CanFrame>{Frame("7DF#0201"), Frame("105#")}));
  Finish(2);
  EXPECT_THAT(Steps(), ElementsAre("9 DONE  frames 2 of 2"));
  ASSERT_EQ(effects_.events.size(), 1u);
  EXPECT_EQ(effects_.events[0].kind(), v1::EVENT_KIND_CAN_SENT);
  EXPECT_EQ(effects_.events[0].detail(), "command 9 by joe@desk frames 2 of 2");
}

TEST_F(CanHubTest, WhatTheBusDidNotTakeHasFailedAndSaysHowFarItCame) {
  const v1::Command send = Send("car", {"7DF#0201", "105#"});
  Run(9, send);
  Steps();
  Finish(1, absl::UnavailableError("the bus is down"));
  EXPECT_THAT(Steps(), ElementsAre("9 FAILED bus_failed frames 1 of 2: the bus is down"));
}

TEST_F(CanHubTest, WhatIsNotAllowedIsRefusedAndCounted) {
  EXPECT_TRUE(absl::IsPermissionDenied(Judge(Send("car", {"7DF#", "7E0#"}))));
  EXPECT_TRUE(absl::IsPermissionDenied(Judge(Send("quiet", {"7DF#"}))));
  EXPECT_TRUE(absl::IsPermissionDenied(Judge(Tap("quiet", absl::Seconds(1)))));
  EXPECT_TRUE(absl::IsPermissionDenied(Judge(Tap("car", absl::Minutes(11)))));
  EXPECT_EQ(hub_.policy_violations(), 4u);
}

TEST_F(CanHubTest, NonsenseIsRefusedWithTheReason) {
  EXPECT_THAT(std::string(Judge(Send("carr", {"7DF#"})).message()), HasSubstr("did you mean car?"));
  EXPECT_TRUE(absl::IsInvalidArgument(Judge(Send("", {"7DF#"}))));
  EXPECT_TRUE(absl::IsInvalidArgument(Judge(Send("car", {}))));
  v1::Command broken = Send("car", {"7DF#01"});
  broken.mutable_can_send()->mutable_frames()->clear_data();
  EXPECT_FALSE(Judge(broken).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Judge(Tap("car", absl::ZeroDuration()))));
  v1::Command clear;
  clear.mutable_clear_dtcs()->set_bus("car");
  EXPECT_TRUE(absl::IsInvalidArgument(Judge(clear))) << "neither OBD-II nor J1939";
  EXPECT_EQ(hub_.policy_violations(), 0u);
}

TEST_F(CanHubTest, TapRunsForItsTime) {
  Run(9, Tap("car", absl::Seconds(5)));
  EXPECT_THAT(Steps(), ElementsAre("9 RUNNING  "));
  Hear({Frame("321#01")});
  hub_.Tick(After(absl::Seconds(5)), effects_);
  EXPECT_THAT(Steps(), ElementsAre("9 DONE  frames 1"));
  EXPECT_FALSE(hub_.Cancel(CommandId{9}, effects_));
}

TEST_F(CanHubTest, CancelledTapEnds) {
  Run(9, Tap("car", absl::Seconds(5)));
  Steps();
  EXPECT_TRUE(hub_.Cancel(CommandId{9}, effects_));
  EXPECT_THAT(Steps(), ElementsAre("9 CANCELLED cancelled frames 0"));
}

TEST_F(CanHubTest, TapShowsWhatWasSentToWhoAskedForIt) {
  Run(8, Tap("car", absl::Seconds(5), /*sent_too=*/true));
  Run(9, Send("car", {"7DF#0201"}));
  Finish(1);
  hub_.Tick(After(absl::Milliseconds(10)), effects_);
  v1::CanBatch batch;
  ASSERT_EQ(effects_.publish.size(), 1u);
  ASSERT_TRUE(batch.ParseFromString(effects_.publish[0].payload));
  EXPECT_EQ(batch.frames().id(0), 0x7DFu);
  EXPECT_EQ(batch.frames().flags()[0], kCanSent);
}

TEST_F(CanHubTest, CompatibleTunnelObeysTheSameList) {
  const auto message = [](uint32_t id) {
    return Arrived{.topic = absl::StrCat("can/s/", id), .payload = absl::HexStringToBytes("00000000000000000055")};
  };
  ASSERT_TRUE(hub_.Owns("can/s/1"));
  EXPECT_THAT(hub_.Subscriptions(), ::testing::SizeIs(1));
  hub_.Arrive(message(0x7DF), kNow, effects_);
  hub_.Arrive(message(0x7E0), kNow, effects_);
  ASSERT_EQ(effects_.writes.size(), 1u);
  EXPECT_EQ(effects_.writes[0].frames[0], Frame("7DF#55"));
  EXPECT_EQ(hub_.policy_violations(), 1u);
  EXPECT_EQ(hub_.refused_messages(), 1u);
}

TEST_F(CanHubTest, BusThatGoesAndComesIsAnEventEachTime) {
  EXPECT_THAT(effects_.events, IsEmpty()) << "it was there from the beginning";
  news_.report = {.up = false, .problem = "can0 is down"};
  hub_.Hear(0, news_, kNow, effects_);
  hub_.Hear(0, news_, kNow, effects_);
  ASSERT_THAT(Events(), ElementsAre(v1::EVENT_KIND_CAN_DOWN));
  EXPECT_EQ(effects_.events[0].name(), "car");
  EXPECT_EQ(effects_.events[0].detail(), "can0 is down");
  news_.report = {.up = true, .bus_off = 1};
  hub_.Hear(0, news_, After(absl::Seconds(1)), effects_);
  EXPECT_THAT(Events(), ElementsAre(v1::EVENT_KIND_CAN_DOWN, v1::EVENT_KIND_CAN_UP, v1::EVENT_KIND_CAN_BUS_OFF));
}

TEST_F(CanHubTest, BusThatIsStillBeingOpenedIsNotDown) {
  CanHub hub(*DeviceId::Parse("pi-1"), 1, Plan(), kNow.mono);
  news_.report = {.up = false, .problem = "it is being opened"};
  hub.Hear(0, news_, kNow, effects_);
  news_.report = {.up = true};
  hub.Hear(0, news_, After(absl::Seconds(1)), effects_);
  hub.Tick(After(absl::Seconds(5)), effects_);
  EXPECT_THAT(effects_.events, IsEmpty());
  CanHub missing(*DeviceId::Parse("pi-1"), 1, Plan(), kNow.mono);
  news_.report = {.up = false, .problem = "can0 does not exist"};
  missing.Hear(0, news_, kNow, effects_);
  EXPECT_LE(missing.NextDue(), kNow.mono + absl::Seconds(2));
  missing.Tick(After(absl::Seconds(2)), effects_);
  EXPECT_THAT(Events(), ElementsAre(v1::EVENT_KIND_CAN_DOWN));
}

TEST_F(CanHubTest, BusThatFlapsIsToldAtALimitedRateAndItsLastStateIsKnown) {
  for (int i = 0; i < 1000; ++i) {
    news_.report = {.up = i % 2 == 1, .problem = "bus off", .bus_off = static_cast<uint64_t>(i)};
    hub_.Hear(0, news_, After(absl::Milliseconds(i)), effects_);
    hub_.Tick(After(absl::Milliseconds(i)), effects_);
  }
  EXPECT_LE(effects_.events.size(), size_t{CanHub::kEventBurst} + 2);
  hub_.Tick(After(absl::Seconds(30)), effects_);
  v1::EventKind last = v1::EVENT_KIND_UNSPECIFIED;
  for (const v1::EventKind kind : Events()) {
    if (kind == v1::EVENT_KIND_CAN_DOWN || kind == v1::EVENT_KIND_CAN_UP) last = kind;
  }
  EXPECT_EQ(last, v1::EVENT_KIND_CAN_UP);
}

TEST_F(CanHubTest, ErrorsOfTheControllerAreToldWithTheirNumber) {
  news_.report = {.up = true, .error_frames = 3, .malformed = 1};
  hub_.Hear(0, news_, kNow, effects_);
  ASSERT_THAT(Events(), ElementsAre(v1::EVENT_KIND_CAN_ERRORS));
  EXPECT_EQ(effects_.events[0].detail(), "error frames 3, malformed 1");
}

TEST_F(CanHubTest, WhatTheBusDidNotTakeOfTheCompatibleTunnelIsCounted) {
  hub_.Arrive({.topic = "can/s/2015", .payload = absl::HexStringToBytes("00000000000000000055")}, kNow, effects_);
  Finish(0, absl::UnavailableError("the bus is down"));
  EXPECT_EQ(hub_.refused_messages(), 1u);
  EXPECT_EQ(hub_.policy_violations(), 0u);
}

TEST_F(CanHubTest, FramesWhoseTimeIsOverInTheQueueHaveExpired) {
  Run(9, Send("car", {"7DF#0201"}));
  EXPECT_EQ(effects_.writes[0].not_after, kNow.mono + absl::Seconds(1));
  Steps();
  Finish(0, absl::DeadlineExceededError("too late"));
  EXPECT_THAT(Steps(), ElementsAre("9 EXPIRED expired the bus was too busy"));
}

TEST_F(CanHubTest, NamesThatCannotBeAreNotRepeated) {
  v1::Command command = Send(std::string(60'000, 'x'), {"7DF#"});
  EXPECT_LT(Judge(command).message().size(), 100u);
  command = Send("car", {"7DF#"});
  command.mutable_can_send()->set_by(std::string(65, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(Judge(command)));
}

TEST_F(CanHubTest, TapsEndWithTheAgentAndAreOnRecord) {
  Run(9, Tap("car", absl::Seconds(5)));
  Steps();
  hub_.Stop(effects_);
  EXPECT_THAT(Steps(), ElementsAre("9 CANCELLED cancelled frames 0"));
  EXPECT_EQ(effects_.events.back().kind(), v1::EVENT_KIND_CAN_TAP_OFF);
}

TEST_F(CanHubTest, LostFramesAreToldButNotEachTime) {
  news_.dropped = 5;
  Hear({});
  news_.dropped = 8;
  news_.report.lost = 2;
  Hear({});
  ASSERT_THAT(Events(), ElementsAre(v1::EVENT_KIND_CAN_DROPPED));
  EXPECT_EQ(effects_.events[0].detail(), "frames 5, before us 0 of 5");
  EXPECT_LE(hub_.NextDue(), kNow.mono + absl::Seconds(10));
  hub_.Tick(After(absl::Seconds(10)), effects_);
  ASSERT_THAT(Events(), ::testing::SizeIs(2));
  EXPECT_EQ(effects_.events[1].detail(), "frames 5, before us 2 of 10");
}

TEST_F(CanHubTest, ErrorFrameIsNoDataForAnybodyButTaps) {
  CanFrame error = Frame("123#B036000000000000");
  error.flags |= kCanError;
  Run(9, Tap("car", absl::Seconds(5)));
  Hear({error});
  EXPECT_THAT(effects_.samples, IsEmpty());
  EXPECT_THAT(effects_.publish, IsEmpty()) << "neither plain text nor the compatible tunnel";
  hub_.Tick(After(absl::Milliseconds(10)), effects_);
  ASSERT_EQ(effects_.publish.size(), 1u);
  EXPECT_EQ(effects_.publish[0].topic, "rpi/pi-1/can/car/rx");
}

}  // namespace
}  // namespace fleet::device
