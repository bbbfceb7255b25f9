#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "device/modbus/modbus_hub.h"
#include "device/modbus/testing/hub_bed.h"

namespace fleet::device {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// meter/a to meter/c at 10 to 12 of meter, pump/a at 5 of pump, each second.
ModbusPlan PollPlan() {
  ModbusPlan plan = BedPlan();
  plan.polls = {PollOf(0, 10, 0), PollOf(0, 11, 1), PollOf(0, 12, 2), PollOf(1, 5, 3)};
  for (const char* topic : {"meter/a", "meter/b", "meter/c", "pump/a"}) {
    plan.signals.push_back({.topic = topic, .silent_after = absl::Seconds(3)});
  }
  return plan;
}

TEST(ModbusHubPolls, NeighboursAreReadTogetherAndPublishedAsTextAndSample) {
  HubBed bed(PollPlan());
  bed.Pass(absl::ZeroDuration());
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.transaction().address, 10);
  EXPECT_EQ(bed.transaction().count, 3);
  bed.ReplyWords({1, 2, 3});
  EXPECT_EQ(bed.Text("rpi/van-7/meter/a"), "1");
  EXPECT_EQ(bed.Text("rpi/van-7/meter/c"), "3");
  ASSERT_THAT(bed.samples, SizeIs(3));
  EXPECT_EQ(bed.samples[1].signal, "meter/b");
  EXPECT_EQ(bed.samples[1].value, 2);
  EXPECT_EQ(bed.transaction().unit, 2);
  bed.ReplyWords({7});
  EXPECT_EQ(bed.Text("rpi/van-7/pump/a"), "7");
  EXPECT_EQ(bed.hub.counters().polls, 2u);
}

TEST(ModbusHubPolls, PeriodsAreKeptAndNotMadeUpFor) {
  HubBed bed(PollPlan());
  bed.Pass(absl::ZeroDuration());
  bed.ReplyWords({1, 2, 3});
  bed.ReplyWords({7});
  bed.Pass(absl::Milliseconds(999));
  EXPECT_THAT(bed.on_bus, IsEmpty());
  bed.Pass(absl::Milliseconds(1));
  EXPECT_THAT(bed.on_bus, SizeIs(1));
  bed.Pass(absl::Milliseconds(5500));  // the line is stuck
  EXPECT_EQ(bed.hub.counters().late_polls, 2u);
  bed.ReplyWords({1, 2, 3});
  bed.ReplyWords({7});
  EXPECT_THAT(bed.on_bus, IsEmpty());
  bed.Pass(absl::Milliseconds(500));
  EXPECT_THAT(bed.on_bus, SizeIs(1));
}

TEST(ModbusHubPolls, WhoAsksComesBeforePolls) {
  HubBed bed(PollPlan());
  bed.Pass(absl::ZeroDuration());
  bed.AskToRead("fan", 1);
  bed.ReplyWords({1, 2, 3});
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.transaction().unit, 3);
}

TEST(ModbusHubPolls, SilentUnitIsPolledRarelyAndItsSignalsBecomeInvalid) {
  HubBed bed(PollPlan());
  bed.Pass(absl::ZeroDuration());
  bed.ReplyWords({1, 2, 3});
  bed.ReplyWords({7});
  int asked = 0;
  for (int second = 0; second < 60; ++second) {
    bed.Pass(absl::Seconds(1));
    while (!bed.on_bus.empty()) {
      if (bed.transaction().unit == 1) {
        ++asked;
        bed.Reply(bed.Silence());
      } else {
        bed.ReplyWords({7});
      }
    }
  }
  EXPECT_LE(asked, 8);  // 2, then after 1, 2, 4, 8, 16 s
  EXPECT_GT(bed.hub.counters().skipped_polls, 40u);
  EXPECT_EQ(bed.Text("rpi/van-7/meter/a"), "invalid");
  EXPECT_EQ(bed.hub.counters().polls, 62u);  // pump was never held up
}

TEST(ModbusHubPolls, UnitThatRefusesMakesItsSignalsInvalidAtOnce) {
  HubBed bed(PollPlan());
  bed.Pass(absl::ZeroDuration());
  bed.ReplyWords({1, 2, 3});
  bed.Reply(bed.Refusal(4));
  EXPECT_EQ(bed.Text("rpi/van-7/pump/a"), "invalid");
  EXPECT_TRUE(std::isnan(bed.samples.back().value));
}

TEST(ModbusHubPolls, BlockWithARegisterThatIsNotThereIsReadOneByOne) {
  HubBed bed(PollPlan());
  bed.Pass(absl::ZeroDuration());
  bed.Reply(bed.Refusal(2));
  bed.ReplyWords({7});
  bed.Pass(absl::ZeroDuration());
  bed.ReplyWords({1});
  bed.Reply(bed.Refusal(2));
  bed.ReplyWords({3});
  EXPECT_EQ(bed.Text("rpi/van-7/meter/a"), "1");
  EXPECT_EQ(bed.Text("rpi/van-7/meter/b"), "invalid");
  EXPECT_EQ(bed.Text("rpi/van-7/meter/c"), "3");
  bed.Pass(absl::Seconds(1));
  EXPECT_EQ(bed.transaction().count, 1);
}

TEST(ModbusHubPolls, TypesOrderAndScaleAreThoseOfThePoll) {
  ModbusPlan plan = BedPlan();
  plan.polls = {PollOf(0, 0, 0), PollOf(0, 2, 1), PollOf(0, 4, 2)};
  plan.polls[0].type = ModbusType::kF32;
  plan.polls[1].type = ModbusType::kU32;
  plan.polls[1].little_endian = true;
  plan.polls[2].type = ModbusType::kI16;
  plan.polls[2].scale_factor = 0.1;
  for (const char* topic : {"a/f32", "a/u32", "a/i16"}) plan.signals.push_back({.topic = topic, .decimals = 1});
  HubBed bed(plan);
  bed.Pass(absl::ZeroDuration());
  bed.ReplyWords({0x4049, 0x0FDB, 0x1234, 0x5678, 0xFFFF});
  EXPECT_NEAR(bed.samples[0].value, 3.1415927, 1e-6);
  EXPECT_EQ(bed.samples[1].value, 1450709556);
  EXPECT_EQ(bed.Text("rpi/van-7/a/i16"), "-0.1");
}

TEST(ModbusHubPolls, UnitBehindABridgeIsPolledWithTheRawRegisters) {
  ModbusPlan plan = BedPlan();
  plan.units.push_back({.id = "inverter", .bus = 2});
  plan.polls = {PollOf(5, 10056, 0), PollOf(5, 10057, 1)};
  plan.polls[0].scale_factor = 0.5;
  plan.signals = {{.topic = "inverter/a"}, {.topic = "inverter/b"}};
  HubBed bed(plan);
  bed.Pass(absl::ZeroDuration());
  ASSERT_THAT(bed.on_bus, SizeIs(2));  // one by one, for it can no more
  EXPECT_THAT(bed.target(), HasSubstr("device_id=inverter&function_code=3&address=10056&size=1"));
  bed.ReplyWeb(200, R"({"register":10056,"size":1,"raw_value":"002a","value":42})");
  EXPECT_EQ(bed.Text("rpi/van-7/inverter/a"), "21");
}

TEST(GatewayState, DeviceWithoutABridgeSpeaksForItself) {
  ModbusPlan plan = BedPlan();
  plan.buses.pop_back();
  plan.units.pop_back();
  plan.writes.pop_back();
  plan.state_period = absl::Seconds(5);
  HubBed bed(plan);
  bed.AskToRead("meter");
  bed.ReplyWords({1});
  bed.Pass(absl::Seconds(5));
  const std::string state = bed.Text("rpi/van-7/gateway_state");
  EXPECT_THAT(state, HasSubstr(R"("type":"gateway_state")"));
  EXPECT_THAT(state, HasSubstr(R"("status":"online")"));
  EXPECT_THAT(state, HasSubstr(R"("connected_devices":1)"));
  EXPECT_EQ(bed.published.size(), 1u);
  bed.Pass(absl::Seconds(5));
  EXPECT_EQ(bed.published.size(), 2u);
}

TEST(GatewayState, IsWhatTheBridgeSaysAndTheFallbackWhenItDoesNot) {
  ModbusPlan plan = BedPlan();
  plan.state_period = absl::Seconds(5);
  plan.alias = "iamcat";
  HubBed bed(plan);
  bed.Pass(absl::Seconds(5));
  EXPECT_EQ(bed.target(), "/api/state");
  EXPECT_LT(bed.on_bus[0].job.timeout, absl::Seconds(5));
  bed.ReplyWeb(200, R"({"status":"online","cpu_usage":12.5})");
  EXPECT_THAT(bed.Text("rpi/van-7/gateway_state"), HasSubstr(R"("cpu_usage":12.5)"));
  EXPECT_EQ(bed.Text("iamcat/state"), bed.Text("rpi/van-7/gateway_state"));
  bed.Pass(absl::Seconds(5));
  bed.Reply(WebReply{.timed_out = true});
  const std::string fallback = bed.Text("rpi/van-7/gateway_state");
  EXPECT_THAT(fallback, HasSubstr(R"("status":"api_unavailable")"));
  EXPECT_THAT(fallback, HasSubstr(R"("error":"Failed to fetch state from web container")"));
  EXPECT_THAT(fallback, HasSubstr(R"("version":"1.2.3")"));
}

TEST(GatewayState, DoesNotWaitBehindSlowRequests) {
  ModbusPlan plan = BedPlan();
  plan.state_period = absl::Seconds(5);
  HubBed bed(plan);
  for (int i = 0; i < 6; ++i) bed.AskToRead("inverter");
  EXPECT_THAT(bed.on_bus, SizeIs(4));
  bed.Pass(absl::Seconds(5));
  EXPECT_THAT(bed.on_bus, SizeIs(5));
  EXPECT_EQ(bed.target(4), "/api/state");
}

}  // namespace
}  // namespace fleet::device
