// The agent with Modbus units: how requests and commands for them, and what comes from them, pass it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"
#include "device/agent.h"
#include "device/modbus/testing/hub_bed.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kCommandTopic[] = "server/pi-1/modbus/command";
constexpr char kRead[] = R"({"function_code":3,"device_id":"meter","address":7})";
constexpr char kWrite[] = R"({"function_code":6,"device_id":"meter","address":100,"values":3})";

CommandKey Key() {
  return CommandKey::FromHex(std::string(64, '7')).value();
}

class AgentModbusTest : public testing::Test {
 protected:
  // With a spool that answers when Save is called.
  AgentModbusTest() { Begin({}); }

  void Begin(std::optional<CommandKey> key) {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value(), .epoch = 4, .version = "1.2.3"};
    options.command_key = key;
    options.gateway_period = absl::Seconds(10);
    options.spool.emplace();
    options.modbus = BedPlan();
    options.modbus->polls = {PollOf(0, 10, 0)};
    options.modbus->signals = {{.topic = "meter/power", .qos = 1}};
    options.modbus->state_period = absl::Seconds(5);
    agent_.emplace(std::move(options), clock_);
    Handle(LinkUp{});
    Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()});
    Save();
    Reply({1500});
    effects_.Clear();
  }
  void Handle(const Input& input) { agent_->Handle(input, clock_, effects_); }
  void Save() {
    agent_->Tick(clock_, effects_);
    SpoolDone done{.status = absl::OkStatus(), .asked = std::move(effects_.spool)};
    effects_.spool = {};
    Handle(done);
  }
  // The unit's answer to what was started last.
  void Reply(std::vector<uint16_t> words) {
    ASSERT_FALSE(effects_.modbus.starts.empty());
    const ModbusStart start = effects_.modbus.starts.back();
    effects_.modbus.starts.pop_back();
    Handle(ModbusDone{.bus = start.bus, .number = start.job.number, .reply = ModbusReply{.words = std::move(words)}});
  }
  v1::Command Call(uint64_t id, const std::string& request) {
    v1::Command command = LineFor(1, id, clock_);
    command.mutable_modbus()->set_request(request);
    command.mutable_modbus()->set_by("anna");
    return command;
  }
  void Command(const v1::Command& command) { Handle(Arrived{.topic = kCommandTopic, .payload = Unsigned(command)}); }
  void Ask(const std::string& json) { Handle(Arrived{.topic = "server/pi-1/modbus/request", .payload = json}); }

  // "7:RUNNING 7:DONE" of all reports so far, which are taken out; `detail_` is that of the last step.
  std::string Steps() {
    std::vector<v1::CommandUpdate> updates;
    for (const Publication& p : effects_.publish) {
      v1::CommandReport report;
      if (p.topic != "rpi/pi-1/command/ack" || !report.ParseFromString(p.payload)) continue;
      updates.insert(updates.end(), report.updates().begin(), report.updates().end());
    }
    effects_.publish.clear();
    if (!updates.empty()) detail_ = updates.back().detail();
    return StepsOf(updates);
  }
  std::vector<std::string> Texts(absl::string_view topic) const {
    std::vector<std::string> texts;
    for (const Publication& p : effects_.publish) {
      if (p.topic == absl::StrCat("rpi/pi-1/", topic)) texts.push_back(p.payload);
    }
    return texts;
  }

  FakeClock clock_;
  std::optional<Agent> agent_;
  Effects effects_;
  std::string detail_;
};

TEST_F(AgentModbusTest, CommandIsOnTheDiskBeforeItIsOnTheBus) {
  Command(Call(7, kRead));
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED");
  EXPECT_THAT(effects_.modbus.starts, IsEmpty());
  Save();
  EXPECT_EQ(Steps(), "7:RUNNING");
  Reply({42});
  EXPECT_EQ(Steps(), "7:DONE");
  EXPECT_THAT(detail_, HasSubstr(R"("value":42)"));
}

TEST_F(AgentModbusTest, CopyOfACommandIsAnsweredWithTheSameAnswerAndRunsOnce) {
  Command(Call(7, kWrite));
  Save();
  Reply({});
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING 7:DONE");
  const std::string answer = detail_;
  Command(Call(7, kWrite));
  EXPECT_EQ(Steps(), "7:DONE");
  EXPECT_EQ(detail_, answer);
  EXPECT_THAT(effects_.modbus.starts, IsEmpty());
}

TEST_F(AgentModbusTest, RefusalsHaveTheirWords) {
  Command(Call(1, R"({"function_code":3,"device_id":"pump","address":1,"size":0})"));
  EXPECT_EQ(Steps(), "1:REJECTED(bad_order)");
  EXPECT_THAT(detail_, HasSubstr("bad_size"));
  Command(Call(2, R"({"function_code":6,"device_id":"pump","address":1,"values":1})"));
  EXPECT_EQ(Steps(), "2:REJECTED(not_allowed)");
  Agent without({.device = DeviceId::Parse("pi-1").value(), .epoch = 1}, clock_);
  without.Handle(LinkUp{}, clock_, effects_);
  without.Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()}, clock_, effects_);
  without.Handle(Arrived{.topic = kCommandTopic, .payload = Unsigned(Call(3, kRead))}, clock_, effects_);
  EXPECT_EQ(Steps(), "3:REJECTED(unknown_device)");
}

TEST_F(AgentModbusTest, RefusedWritesAreViolationsOfPolicy) {
  Ask(R"({"function_code":6,"device_id":"fan","address":1,"values":1})");
  clock_.Advance(absl::Seconds(10));
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Texts("security/policy_violations"), ElementsAre("1"));
}

TEST_F(AgentModbusTest, WithACommandKeyOnlySignedWritesPass) {
  Begin(Key());
  Ask(kWrite);
  EXPECT_THAT(Texts("modbus/response"), ElementsAre(HasSubstr("not_signed")));
  Command(Call(7, kWrite));
  EXPECT_EQ(Steps(), "7:REJECTED(bad_signature)");
  Handle(Arrived{.topic = kCommandTopic, .payload = Signed(Call(8, kWrite), Key())});
  Save();
  EXPECT_EQ(Steps(), "8:RECEIVED 8:ACCEPTED 8:RUNNING");
}

TEST_F(AgentModbusTest, StopTakesBackWritesThatWaitAndReadsGoOn) {
  Ask(kRead);  // keeps the line busy
  Command(Call(7, kWrite));
  Save();
  Command(Call(6, kRead));  // these two wait for the disk
  Command(Call(8, R"({"function_code":6,"device_id":"pump","address":200,"values":3})"));
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = Unsigned(StopWith(9, clock_))});
  EXPECT_THAT(Steps(), HasSubstr("9:RECEIVED 9:ACCEPTED 8:CANCELLED(stopped) 9:DONE 7:CANCELLED(stopped)"));
  EXPECT_THAT(effects_.modbus.starts, SizeIs(1));
}

TEST_F(AgentModbusTest, ExpiredCommandNeverBegins) {
  Ask(kRead);
  Command(Call(7, kWrite));
  Save();
  Steps();
  clock_.Advance(absl::Seconds(5));
  agent_->Tick(clock_, effects_);
  EXPECT_EQ(Steps(), "7:EXPIRED(expired)");
  EXPECT_THAT(effects_.modbus.starts, SizeIs(2));  // the read, and the state of the bridge
}

TEST_F(AgentModbusTest, WhatTheLinkDidNotTakeComesAgain) {
  Ask("boo");
  ASSERT_THAT(Texts("modbus/response"), SizeIs(1));
  const Publication response = effects_.publish.back();
  effects_.Clear();
  Handle(PublishRefused{response});
  clock_.Advance(absl::Milliseconds(500));
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Texts("modbus/response"), ElementsAre(response.payload));
}

TEST_F(AgentModbusTest, PolledValuesAreTextAndSampleAndComeBackAfterAConnect) {
  clock_.Advance(absl::Seconds(1));
  agent_->Tick(clock_, effects_);
  Reply({1501});
  EXPECT_THAT(Texts("meter/power"), ElementsAre("1501"));
  EXPECT_GT(agent_->outbox().waiting(v1::STREAM_TELEMETRY), 0u);
}

TEST_F(AgentModbusTest, GatewayStateIsLiveOnly) {
  Handle(LinkDown{});
  clock_.Advance(absl::Seconds(5));
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Texts("gateway_state"), IsEmpty());
}

}  // namespace
}  // namespace fleet::device
