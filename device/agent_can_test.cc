// The agent with CAN buses: how commands for them and what comes from them pass it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/can/can_columns.h"
#include "common/can/candump.h"
#include "common/testing/fake_clock.h"
#include "device/agent.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr char kTx[] = "server/pi-1/can/car/tx";

CanPlan Plan() {
  CanPlan plan;
  BusPlan car;
  car.name = "car";
  car.max_tap = absl::Minutes(10);
  car.send_allow = {*ParseCanFilter("7DF")};
  car.send_rate_hz = 10;
  car.compat_base = "can";
  plan.buses = {car};
  return plan;
}

class AgentCanTest : public testing::Test {
 protected:
  // With a spool that answers when Save is called.
  AgentCanTest() {
    Handle(LinkUp{});
    Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()});
    Hear({});
    Save();
    effects_.Clear();
  }

  static AgentOptions Options(CanPlan plan, bool spool) {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value(), .epoch = 4};
    options.gateway_period = absl::Seconds(10);
    if (spool) options.spool.emplace();
    options.can = std::move(plan);
    return options;
  }
  void Handle(const Input& input) { agent_->Handle(input, clock_, effects_); }
  void Hear(std::vector<CanFrame> frames) {
    CanNews news;
    news.frames = std::move(frames);
    news.report.up = true;
    Handle(CanHeard{.bus = 0, .news = &news});
  }
  void Outcome(const CanWrite& write, size_t sent) {
    CanNews news;
    news.outcomes.push_back({.order = {.frames = write.frames, .token = write.token}, .sent = sent});
    news.report.up = true;
    Handle(CanHeard{.bus = 0, .news = &news});
  }
  // The disk has what it was given so far.
  void Save(absl::Status status = absl::OkStatus()) {
    agent_->Tick(clock_, effects_);
    SpoolDone done{.status = std::move(status), .asked = std::move(effects_.spool)};
    effects_.spool = {};
    Handle(done);
  }

  v1::Command Send(uint64_t id, absl::string_view frame) {
    v1::Command command = LineFor(1, id, clock_);
    command.mutable_can_send()->set_bus("car");
    CanColumns columns;
    columns.Add(*ParseCanFrameText(frame));
    *command.mutable_can_send()->mutable_frames() = columns.Take();
    return command;
  }
  v1::Command Tap(uint64_t id) {
    v1::Command command = LineFor(1, id, clock_);
    command.mutable_can_tap()->set_bus("car");
    command.mutable_can_tap()->set_duration_ms(60'000);
    return command;
  }
  void Command(const v1::Command& command) { Handle(Arrived{.topic = kTx, .payload = Unsigned(command)}); }

  // "7 rejected not_allowed", of all reports so far, which are taken out.
  std::vector<std::string> Steps() {
    std::vector<std::string> steps;
    for (const Publication& p : effects_.publish) {
      v1::CommandReport report;
      if (p.topic != "rpi/pi-1/command/ack" || !report.ParseFromString(p.payload)) continue;
      for (const v1::CommandUpdate& update : report.updates()) {
        steps.push_back(absl::StrCat(update.command_id(), " ", v1::CommandState_Name(update.state()).substr(14),
                                     update.reason().empty() ? "" : " ", update.reason()));
      }
    }
    effects_.publish.clear();
    return steps;
  }
  std::vector<std::string> Texts(absl::string_view topic) const {
    std::vector<std::string> texts;
    for (const Publication& p : effects_.publish) {
      if (p.topic == absl::StrCat("rpi/pi-1/", topic)) texts.push_back(p.payload);
    }
    return texts;
  }

  FakeClock clock_;
  std::optional<Agent> agent_{std::in_place, Options(Plan(), /*spool=*/true), clock_};
  Effects effects_;
};

TEST_F(AgentCanTest, SubscribesToWhatItsBusesNeed) {
  std::vector<std::string> filters;
  for (const Subscription& s : agent_->Subscriptions()) filters.push_back(s.filter);
  EXPECT_THAT(filters, Contains("server/pi-1/can/+/tx"));
  EXPECT_THAT(filters, Contains("can/s/+"));
  const Agent without(Options({}, false), clock_);
  EXPECT_THAT(without.Subscriptions(), SizeIs(6)) << "it refuses what is for a bus, so it has to hear it";
}

TEST_F(AgentCanTest, NothingGoesToTheBusBeforeTheDiskRemembersTheCommand) {
  Command(Send(7, "7DF#01"));
  EXPECT_THAT(Steps(), ElementsAre("7 RECEIVED", "7 ACCEPTED"));
  EXPECT_THAT(effects_.can.writes, IsEmpty());
  Save();
  ASSERT_THAT(effects_.can.writes, SizeIs(1));
  EXPECT_THAT(Steps(), ElementsAre("7 RUNNING"));
  Outcome(effects_.can.writes[0], 1);
  EXPECT_THAT(Steps(), ElementsAre("7 DONE"));
}

TEST_F(AgentCanTest, WhatTheDiskCannotRememberIsNotSent) {
  Command(Send(7, "7DF#01"));
  Steps();
  Save(absl::ResourceExhaustedError("disk full"));
  EXPECT_THAT(effects_.can.writes, IsEmpty());
  EXPECT_THAT(Steps(), ElementsAre("7 FAILED spool_failed"));
}

TEST_F(AgentCanTest, WhatWaitedForTheDiskTooLongIsNotSent) {
  Command(Send(7, "7DF#01"));
  Steps();
  clock_.Advance(absl::Seconds(6));
  Save();
  EXPECT_THAT(effects_.can.writes, IsEmpty());
  EXPECT_THAT(Steps(), Contains("7 EXPIRED expired"));
}

TEST_F(AgentCanTest, ACopyOfTheCommandSendsNothingAgain) {
  const v1::Command send = Send(7, "7DF#01");
  Command(send);
  Save();
  Outcome(effects_.can.writes[0], 1);
  effects_.Clear();
  Command(send);
  Save();
  EXPECT_THAT(effects_.can.writes, IsEmpty());
  EXPECT_THAT(Steps(), Contains("7 DONE"));
}

TEST_F(AgentCanTest, ForbiddenFrameIsRefusedForGoodAndShowsInTheSecurityCount) {
  const v1::Command send = Send(7, "7E0#01");
  Command(send);
  EXPECT_THAT(Steps(), ElementsAre("7 REJECTED not_allowed"));
  Command(send);
  EXPECT_THAT(Steps(), ElementsAre("7 REJECTED not_allowed"));
  clock_.Advance(absl::Seconds(10));
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Texts("security/policy_violations"), ElementsAre("1")) << "the copy was only a question";
}

TEST_F(AgentCanTest, WaitingFramesAndARunningTapCanBeTakenBack) {
  Command(Send(7, "7DF#01"));
  Command(Tap(8));
  v1::Command cancel = LineFor(1, 9, clock_);
  cancel.mutable_cancel()->set_command_id(7);
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = Unsigned(cancel)});
  EXPECT_THAT(Steps(), Contains("7 CANCELLED cancelled"));
  Save();
  EXPECT_THAT(effects_.can.writes, IsEmpty());
  EXPECT_THAT(Steps(), Contains("8 RUNNING"));
  cancel = LineFor(1, 10, clock_);
  cancel.mutable_cancel()->set_command_id(8);
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = Unsigned(cancel)});
  EXPECT_THAT(Steps(), Contains("8 CANCELLED cancelled"));
}

TEST_F(AgentCanTest, AStopEndsSegmentsAndNoTap) {
  Command(Tap(8));
  Save();
  v1::Command stop = LineFor(1, 9, clock_);
  stop.mutable_cancel()->set_stop(true);
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = Unsigned(stop)});
  EXPECT_THAT(Steps(), Not(Contains("8 CANCELLED cancelled")));
  Hear({*ParseCanFrameText("123#01")});
  clock_.Advance(absl::Milliseconds(10));
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Texts("can/car/rx"), SizeIs(1));
}

TEST_F(AgentCanTest, AStopTakesBackFramesThatWaitAndThoseThatComeLate) {
  const v1::Command waiting = Send(7, "7DF#01");
  const v1::Command late = Send(8, "7DF#02");
  Command(waiting);
  v1::Command stop = LineFor(1, 9, clock_);
  stop.mutable_cancel()->set_stop(true);
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = Unsigned(stop)});
  EXPECT_THAT(Steps(), Contains("7 CANCELLED stopped"));
  Command(late);
  EXPECT_THAT(Steps(), ElementsAre("8 CANCELLED stopped"));
  Save();
  EXPECT_THAT(effects_.can.writes, IsEmpty());
}

TEST_F(AgentCanTest, FramesByTheThousandLeaveRoomForSegmentsAndNeverKeepOutAStop) {
  uint64_t id = 100;
  for (int i = 0; i < 6000; ++i) Command(Send(++id, "7E0#01"));
  EXPECT_THAT(Steps(), Contains(absl::StrCat(id, " REJECTED not_allowed")));
  EXPECT_LE(agent_->memory().size(), CommandMemory::kMaxWithBusCommands);
  Command(Send(++id, "7DF#01"));
  EXPECT_THAT(Steps(), ElementsAre(absl::StrCat(id, " REJECTED overloaded")));
  for (int i = 0; i < 2000; ++i) {
    Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, ++id, clock_))});
  }
  EXPECT_EQ(agent_->memory().size(), CommandMemory::kMaxCommands);
  effects_.publish.clear();
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = Unsigned(StopWith(++id, clock_))});
  EXPECT_THAT(Steps(), Contains(absl::StrCat(id, " DONE")));
}

TEST_F(AgentCanTest, PlainTextThatTheLinkDidNotTakeIsSaidAgain) {
  Handle(PublishRefused{{.topic = "rpi/pi-1/security/auth_failures", .payload = "0", .qos = 1}});
  effects_.Clear();
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Texts("security/auth_failures"), ElementsAre("0"));
}

TEST_F(AgentCanTest, DeviceWithoutABusSaysSo) {
  agent_.emplace(Options({}, false), clock_);
  Handle(LinkUp{});
  Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()});
  clock_.Advance(absl::Seconds(1));
  effects_.Clear();
  Command(Send(7, "7DF#01"));
  EXPECT_THAT(Steps(), ElementsAre("7 REJECTED unknown_bus"));
}

TEST_F(AgentCanTest, FramesAreNotPublishedWhileThereIsNoLink) {
  Handle(LinkDown{});
  effects_.Clear();
  Hear({*ParseCanFrameText("123#01")});
  EXPECT_THAT(effects_.publish, IsEmpty());
  Handle(LinkUp{});
  EXPECT_THAT(Texts("can/car/rx"), IsEmpty());
}

TEST_F(AgentCanTest, SaysThatItIsThereAndThatItGoes) {
  Handle(LinkUp{});
  EXPECT_THAT(Texts("gateway/connection_state"), ElementsAre("online"));
  EXPECT_THAT(Texts("security/auth_failures"), ElementsAre("0"));
  effects_.Clear();
  agent_->Flush(clock_, effects_);
  EXPECT_THAT(Texts("gateway/connection_state"), ElementsAre("offline"));
}

}  // namespace
}  // namespace fleet::device
