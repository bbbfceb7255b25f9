// What is asked for: requests in JSON and commands. Polls and gateway_state: modbus_hub_polls_test.cc.
#include "device/modbus/modbus_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/modbus/testing/hub_bed.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ModbusHub, ReadGoesToItsUnitAndTheAnswerBack) {
  HubBed bed;
  bed.Ask(R"({"function_code":3,"device_id":"meter","address":10056,"size":1,"id":"q1"})");
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.on_bus[0].bus, 0u);
  EXPECT_EQ(bed.transaction().unit, 1);
  EXPECT_EQ(bed.transaction().address, 10056);
  EXPECT_EQ(bed.transaction().count, 1);
  bed.ReplyWords({42});
  ASSERT_THAT(bed.responses, SizeIs(1));
  EXPECT_EQ(bed.responses[0].topic, "rpi/van-7/modbus/response");
  EXPECT_EQ(bed.responses[0].qos, 1);
  EXPECT_THAT(bed.responses[0].payload, HasSubstr(R"("id":"q1")"));
  EXPECT_THAT(bed.responses[0].payload, HasSubstr(R"("type":"modbus_response")"));
  EXPECT_THAT(bed.response(), HasSubstr(R"("value":42)"));
}

TEST(ModbusHub, EveryRequestIsAnsweredWhateverIsWrong) {
  HubBed bed;
  const auto answer = [&](const std::string& json) {
    bed.Ask(json);
    return bed.TakeResponse();
  };
  EXPECT_THAT(answer("boo"), HasSubstr("not_json"));
  EXPECT_THAT(answer(""), HasSubstr("not_json"));
  EXPECT_THAT(answer("[1,2]"), HasSubstr("\"success\":false"));
  EXPECT_THAT(answer(R"({"device_id":"meter"})"), HasSubstr("bad_request"));
  EXPECT_THAT(answer(R"({"device_id":"meter","address":0,"function_code":99})"), HasSubstr("bad_function"));
  EXPECT_THAT(answer(std::string(70'000, ' ')), HasSubstr("too_large"));
  bed.Ask(R"({"device_id":"meter","address":0})", "server/van-7/modbus/request", /*retained=*/true);
  EXPECT_THAT(bed.TakeResponse(), HasSubstr("retained"));
  EXPECT_EQ(bed.hub.counters().requests, 7u);
  EXPECT_EQ(bed.hub.counters().bad_requests, 6u);
  EXPECT_EQ(bed.hub.counters().responses, 7u);
  EXPECT_THAT(bed.on_bus, IsEmpty());
}

TEST(ModbusHub, UnknownDeviceIsNamedWithTheNearest) {
  ModbusPlan plan = BedPlan();
  plan.units.pop_back();
  plan.writes.pop_back();
  HubBed bed(plan);
  bed.AskToRead("metre");
  EXPECT_THAT(bed.response(), HasSubstr("unknown_device"));
  EXPECT_THAT(bed.response(), HasSubstr("meter"));
}

TEST(ModbusHub, DeviceWithoutModbusAnswersToo) {
  HubBed bed{ModbusPlan()};
  bed.AskToRead("meter");
  EXPECT_THAT(bed.response(), HasSubstr("unknown_device"));
  bed.Pass(absl::Hours(1));
  EXPECT_THAT(bed.published, IsEmpty());
}

TEST(ModbusHub, OneTransactionAtATimeOnALineAndAsManyAsConfiguredElsewhere) {
  HubBed bed;
  for (int i = 0; i < 3; ++i) bed.AskToRead("meter", i);
  for (int i = 0; i < 3; ++i) bed.AskToRead("plc", i);
  EXPECT_THAT(bed.on_bus, SizeIs(3));  // one, and two
  bed.ReplyWords({1});
  EXPECT_EQ(bed.transaction(2).address, 1);
  EXPECT_THAT(bed.responses, SizeIs(1));
}

TEST(ModbusHub, RequestThatWaitsTooLongIsAnsweredAndNeverSent) {
  HubBed bed;
  bed.AskToRead("meter", 1);
  bed.AskToRead("meter", 2, R"(,"ttl_ms":300)");
  bed.Pass(absl::Milliseconds(299));
  EXPECT_THAT(bed.responses, IsEmpty());
  bed.Pass(absl::Milliseconds(1));
  EXPECT_THAT(bed.response(), HasSubstr("expired"));
  bed.ReplyWords({1});
  EXPECT_THAT(bed.on_bus, IsEmpty());
}

TEST(ModbusHub, MoreThanTheLineHoldsIsRefusedAtOnce) {
  HubBed bed;
  for (size_t i = 0; i < ModbusLine::kMaxAsked + 1; ++i) bed.AskToRead("meter");
  EXPECT_THAT(bed.responses, IsEmpty());
  bed.AskToRead("meter");
  EXPECT_THAT(bed.response(), HasSubstr("overloaded"));
}

TEST(ModbusHub, ExceptionIsAnAnswerWithItsMeaning) {
  HubBed bed;
  bed.AskToRead("meter");
  bed.Reply(bed.Refusal(2));
  EXPECT_THAT(bed.response(), HasSubstr("illegal_data_address"));
  bed.AskToRead("meter");
  bed.Reply(bed.Refusal(99));
  EXPECT_THAT(bed.response(), HasSubstr("exception_99"));
  EXPECT_FALSE(bed.hub.unit(0).health.is_set_aside());
}

TEST(ModbusHub, SilentUnitIsSetAsideForLongerEachTimeAndTheOthersGoOn) {
  HubBed bed;
  for (int i = 0; i < UnitHealth::kFailures; ++i) {
    bed.AskToRead("meter");
    bed.Reply(bed.Silence());
    EXPECT_THAT(bed.TakeResponse(), HasSubstr("no_answer"));
  }
  EXPECT_EQ(bed.EventsOf(v1::EVENT_KIND_MODBUS_SILENT), 1);
  bed.AskToRead("meter");
  EXPECT_THAT(bed.TakeResponse(), HasSubstr("set_aside"));
  bed.AskToRead("pump");
  EXPECT_THAT(bed.on_bus, SizeIs(1));
  bed.ReplyWords({1});

  bed.Pass(UnitHealth::kMinPause);
  bed.AskToRead("meter");
  bed.AskToRead("meter");  // one tries, the other need not wait for that
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  bed.ReplyWords({1});
  EXPECT_EQ(bed.EventsOf(v1::EVENT_KIND_MODBUS_BACK), 1);
}

TEST(ModbusHub, WhatWaitsBehindADyingUnitIsAnsweredWithoutWaitingForItAgain) {
  HubBed bed;
  for (int i = 0; i < 5; ++i) bed.AskToRead("meter");
  bed.AskToRead("pump");
  bed.Reply(bed.Silence());
  bed.Reply(bed.Silence());
  EXPECT_THAT(bed.responses, SizeIs(5));  // two of them waited for the unit
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.transaction().unit, 2);
}

TEST(ModbusHub, WriteOnTheListIsDoneToldAndCounted) {
  HubBed bed;
  bed.AskToWrite("meter", 100, 170, R"(,"id":7)");
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_THAT(bed.transaction().words, ElementsAre(170));
  bed.ReplyWords({});
  EXPECT_THAT(bed.response(), HasSubstr(R"("success":true)"));
  ASSERT_EQ(bed.EventsOf(v1::EVENT_KIND_MODBUS_WRITTEN), 1);
  EXPECT_EQ(bed.events[0].name(), "meter");
  EXPECT_THAT(bed.events[0].detail(), HasSubstr("done: holding 100 = hex 00AA: request 7"));
  EXPECT_EQ(bed.hub.counters().writes, 1u);
  EXPECT_EQ(bed.hub.policy_violations(), 0u);
}

TEST(ModbusHub, WriteThatIsNotAllowedIsRefusedCountedAndTold) {
  HubBed bed;
  const auto answer = [&](const std::string& unit, int address, int value) {
    bed.AskToWrite(unit, address, value);
    return bed.TakeResponse();
  };
  EXPECT_THAT(answer("meter", 99, 1), HasSubstr("not_allowed"));
  EXPECT_THAT(answer("meter", 100, 1001), HasSubstr("not_allowed"));
  EXPECT_THAT(answer("fan", 100, 1), HasSubstr("not_allowed"));
  EXPECT_EQ(bed.hub.policy_violations(), 3u);
  EXPECT_EQ(bed.EventsOf(v1::EVENT_KIND_MODBUS_REFUSED), 1);  // at a limited rate
  EXPECT_THAT(bed.on_bus, IsEmpty());
  bed.AskToWrite("meter", 100, 1);
  bed.ReplyWords({});
  EXPECT_THAT(answer("meter", 100, 2), HasSubstr("too_soon"));
  bed.Pass(ModbusHub::kEventPause);
  answer("fan", 100, 1);
  EXPECT_THAT(bed.events.back().detail(), HasSubstr("and 3 before"));
}

TEST(ModbusHub, DeviceWithACommandKeyReadsForAnybodyAndWritesForNobodyUnsigned) {
  HubBed bed(BedPlan(), /*needs_signature=*/true);
  bed.AskToWrite("meter", 100, 1);
  EXPECT_THAT(bed.TakeResponse(), HasSubstr("not_signed"));
  EXPECT_EQ(bed.hub.policy_violations(), 1u);
  bed.AskToRead("meter");
  bed.ReplyWords({5});
  EXPECT_THAT(bed.TakeResponse(), HasSubstr(R"("value":5)"));
  EXPECT_EQ(bed.Command(1, R"({"function_code":6,"device_id":"meter","address":100,"values":1})"), std::nullopt);
  EXPECT_THAT(bed.on_bus, SizeIs(1));
}

TEST(ModbusHub, DoubledWriteRunsOnceAndIsAnsweredTwice) {
  HubBed bed;
  bed.AskToWrite("meter", 100, 1, R"(,"id":"w")");
  bed.AskToWrite("meter", 100, 1, R"(,"id":"w")");
  EXPECT_THAT(bed.TakeResponse(), HasSubstr("duplicate"));
  bed.ReplyWords({});
  const std::string first = bed.TakeResponse();
  bed.AskToWrite("meter", 100, 1, R"(,"id":"w")");
  EXPECT_EQ(bed.TakeResponse(), first);
  EXPECT_THAT(bed.on_bus, IsEmpty());
}

TEST(ModbusHub, WriteThatWasNeverSentMayBeTriedAgainWithItsId) {
  HubBed bed;
  bed.AskToRead("meter");
  bed.AskToWrite("meter", 100, 1, R"(,"id":"w","ttl_ms":100)");
  bed.Pass(absl::Milliseconds(100));
  EXPECT_THAT(bed.TakeResponse(), HasSubstr("expired"));
  bed.Pass(absl::Seconds(1));
  bed.ReplyWords({1});
  bed.AskToWrite("meter", 100, 1, R"(,"id":"w")");
  EXPECT_THAT(bed.on_bus, SizeIs(1));
}

TEST(ModbusHub, WriteWithoutAnAnswerSaysThatItMayHaveHappened) {
  HubBed bed;
  bed.AskToWrite("meter", 100, 1);
  bed.Reply(bed.Silence());
  EXPECT_THAT(bed.response(), HasSubstr("may have been written"));
}

TEST(ModbusHub, ReadBackComesBeforeEverythingElseAndConfirms) {
  HubBed bed;
  bed.AskToWrite("pump", 200, 9);
  bed.AskToRead("meter");
  bed.ReplyWords({});
  EXPECT_THAT(bed.responses, IsEmpty());
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.transaction().function, ModbusFunction::kReadHoldingRegisters);
  EXPECT_EQ(bed.transaction().address, 200);
  bed.ReplyWords({9});
  EXPECT_THAT(bed.response(), HasSubstr(R"("read_back":true)"));
}

TEST(ModbusHub, OtherValueThanWrittenIsAFailure) {
  HubBed bed;
  bed.AskToWrite("pump", 200, 9);
  bed.ReplyWords({});
  bed.ReplyWords({8});
  EXPECT_THAT(bed.response(), HasSubstr("read_back_differs"));
  bed.Pass(absl::Seconds(1));
  bed.AskToWrite("pump", 200, 9);
  bed.ReplyWords({});
  bed.Reply(bed.Silence());
  EXPECT_THAT(bed.response(), HasSubstr("it was written, but not read again"));
}

TEST(ModbusHub, CommandRunsAndItsLastStepHasTheAnswer) {
  HubBed bed;
  EXPECT_EQ(bed.Command(23, R"({"function_code":3,"device_id":"meter","address":7,"size":2})"), std::nullopt);
  bed.ReplyWords({1, 2});
  EXPECT_THAT(bed.updates.back().detail(), HasSubstr(R"("value":[1,2])"));
  EXPECT_EQ(bed.Steps(), "23:RUNNING 23:DONE");
  EXPECT_THAT(bed.responses, IsEmpty());
}

TEST(ModbusHub, CommandThatCannotBeIsRefusedBeforeItRuns) {
  HubBed bed;
  EXPECT_EQ(bed.Command(1, "boo")->code, "not_json");
  EXPECT_EQ(bed.Command(1, R"({"function_code":6,"device_id":"fan","address":1,"values":1})")->code, "not_allowed");
  EXPECT_EQ(bed.Command(1, R"({"function_code":1,"device_id":"meter","address":1,"size":257})")->code, "bad_size");
  EXPECT_EQ(bed.Command(1, std::string(5000, ' '))->code, "too_large");
  EXPECT_EQ(bed.hub.policy_violations(), 1u);
}

TEST(ModbusHub, CommandsWriteIsAudited) {
  HubBed bed;
  bed.Command(9, R"({"function_code":6,"device_id":"meter","address":100,"values":3})");
  bed.Reply(bed.Refusal(3));
  EXPECT_EQ(bed.Steps(), "9:RUNNING 9:FAILED=illegal_data_value");
  EXPECT_EQ(bed.events.back().detail(), "illegal_data_value: holding 100 = hex 0003: command 9 by anna");
}

TEST(ModbusHub, CommandThatIsTakenBackBeforeItsTurnNeverRuns) {
  HubBed bed;
  bed.AskToRead("meter");
  bed.Command(5, R"({"function_code":3,"device_id":"meter","address":1})");
  bed.Command(6, R"({"function_code":6,"device_id":"meter","address":102,"values":1})");
  bed.Command(7, R"({"function_code":3,"device_id":"meter","address":2})");
  bed.Command(9, R"({"function_code":3,"device_id":"meter","address":3})");
  ModbusEffects effects;
  EXPECT_TRUE(bed.hub.Cancel(CommandId{5}, effects));
  EXPECT_FALSE(bed.hub.Cancel(CommandId{5}, effects));
  EXPECT_EQ(bed.hub.StopBelow(CommandId{8}, "stopped", effects), 1u);
  bed.ReplyWords({1});
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.transaction().address, 2);
}

TEST(ModbusHub, WebBridgeIsAskedAsEverAndItsWordsComeBack) {
  HubBed bed;
  bed.Ask(
      R"({"function_code":3,"device_id":"A2332407312","address":10056,"size":1,"type":"U16","endianess":"big","scale_factor":1})");
  ASSERT_THAT(bed.on_bus, SizeIs(1));
  EXPECT_EQ(bed.target(),
            "/api/inverter/modbus?device_id=A2332407312&function_code=3&address=10056&size=1&type=U16&"
            "endianess=big&scale_factor=1");
  EXPECT_EQ(bed.on_bus[0].job.timeout, absl::Seconds(10));
  bed.ReplyWeb(200, R"({"register":10056,"size":1,"raw_value":"002a","swapped_value":"002a","value":42})");
  EXPECT_THAT(bed.response(), HasSubstr(R"("value":42)"));
  EXPECT_THAT(bed.response(), HasSubstr(R"("success":true)"));
}

TEST(ModbusHub, EveryFailureOfTheWebBridgeIsAnAnswer) {
  HubBed bed;
  const auto answer = [&](WebReply reply) {
    bed.AskToRead("inverter");
    bed.Reply(std::move(reply));
    return bed.TakeResponse();
  };
  EXPECT_THAT(answer({.timed_out = true, .detail = "10s are over"}), HasSubstr("timeout"));
  EXPECT_THAT(answer({.detail = "connection refused"}), HasSubstr("not_connected"));
  EXPECT_THAT(answer({.was_sent = true, .detail = "closed"}), HasSubstr("bridge_failed"));
  EXPECT_THAT(answer({.status = 400, .body = R"({"error":"device X not found"})"}), HasSubstr("device X not found"));
  EXPECT_THAT(answer({.status = 500, .body = "oops"}), HasSubstr("bridge_failed"));
  EXPECT_THAT(answer({.status = 200, .body = "garbage"}), HasSubstr("bridge_failed"));
  EXPECT_THAT(answer({.status = 200, .body = R"({"value":null})"}), HasSubstr("read_failed"));
  bed.AskToRead("inverter");
  EXPECT_THAT(bed.on_bus, SizeIs(1)) << "a bridge has many units behind it, and is not set aside";
}

TEST(ModbusHub, SlowBridgeHoldsUpNobodyElse) {
  HubBed bed;
  bed.AskToRead("inverter");
  bed.AskToRead("meter");
  bed.ReplyWords({1}, 1);
  EXPECT_THAT(bed.response(), HasSubstr(R"("value":1)"));
}

TEST(ModbusHub, BridgesWriteIsReadBackThroughIt) {
  HubBed bed;
  bed.Ask(R"({"function_code":16,"device_id":"inverter","address":300,"values":170,"type":"U16"})");
  EXPECT_EQ(bed.target(), "/api/inverter/modbus?device_id=inverter&address=300&function_code=16&values=170&type=U16");
  bed.ReplyWeb(200, R"({"address":300,"success":true,"values":[170]})");
  EXPECT_THAT(bed.target(), HasSubstr("function_code=3&address=300"));
  bed.ReplyWeb(200, R"({"raw_value":"00aa","value":170})");
  EXPECT_THAT(bed.response(), HasSubstr(R"("address":300)"));
}

TEST(ModbusHub, AliasIsAnsweredOnTheAlias) {
  ModbusPlan plan = BedPlan();
  plan.alias = "iamcat";
  HubBed bed(plan);
  EXPECT_THAT(bed.hub.Subscriptions(), SizeIs(2));
  EXPECT_TRUE(bed.hub.Owns("iamcat/modbus/request"));
  bed.Ask(R"({"device_id":"meter","address":0})", "iamcat/modbus/request");
  bed.ReplyWords({1});
  EXPECT_EQ(bed.responses[0].topic, "iamcat/modbus/response");
}

TEST(ModbusHub, AnswersWaitForALinkThatIsDownAndTheOldestGoFirst) {
  HubBed bed;
  bed.hub.SetLinkUp(false);
  for (size_t i = 0; i < ModbusHub::kMaxKeptResponses + 3; ++i) bed.Ask("boo");
  EXPECT_THAT(bed.responses, IsEmpty());
  EXPECT_EQ(bed.hub.counters().dropped_responses, 3u);
  bed.hub.SetLinkUp(true);
  ModbusEffects effects;
  bed.hub.Resume(effects);
  EXPECT_THAT(effects.responses, SizeIs(ModbusHub::kMaxKeptResponses));
  bed.hub.Refuse(effects.responses[0]);
  ModbusEffects again;
  bed.hub.Resume(again);
  EXPECT_THAT(again.responses, SizeIs(1));
}

TEST(ModbusHub, CleanStopAnswersWhatIsOpen) {
  HubBed bed;
  bed.AskToWrite("meter", 100, 1);
  bed.AskToRead("meter");
  bed.Command(5, R"({"function_code":3,"device_id":"meter","address":1})");
  bed.Stop();
  ASSERT_THAT(bed.responses, SizeIs(2));
  EXPECT_THAT(bed.responses[0].payload, HasSubstr("may have been written"));
  EXPECT_THAT(bed.response(), HasSubstr("stopping"));
  EXPECT_EQ(bed.Steps(), "");
  bed.ReplyWords({});  // too late for anybody, and the line goes on
  EXPECT_THAT(bed.on_bus, SizeIs(1));
}

TEST(ModbusHub, IdThatIsNullIsNone) {
  HubBed bed;
  for (int value = 1; value <= 2; ++value) {
    bed.AskToWrite("meter", 100, value, R"(,"id":null)");
    ASSERT_THAT(bed.on_bus, SizeIs(1)) << value;
    bed.ReplyWords({});
    bed.Pass(absl::Seconds(1));
  }
}

TEST(ModbusHub, OtherWriteWithAKnownIdIsRefusedAndNotTakenForTheFirst) {
  HubBed bed;
  bed.AskToWrite("meter", 100, 1, R"(,"id":1)");
  bed.ReplyWords({});
  bed.Pass(absl::Seconds(1));
  bed.AskToWrite("meter", 100, 2, R"(,"id":1)");
  EXPECT_THAT(bed.response(), HasSubstr("duplicate"));
  EXPECT_THAT(bed.response(), HasSubstr("another write"));
}

TEST(ModbusHub, UnitThatItsGatewayCannotReachIsSetAsideToo) {
  HubBed bed;
  for (int i = 0; i < UnitHealth::kFailures; ++i) {
    bed.AskToRead("plc");
    bed.Reply(bed.Refusal(11));
    EXPECT_THAT(bed.TakeResponse(), HasSubstr("gateway_target"));
  }
  EXPECT_TRUE(bed.hub.unit(3).health.is_set_aside());
}

TEST(ModbusHub, RateCountsWhenAWriteGoesOutAndNotWhenItIsAccepted) {
  HubBed bed;
  bed.AskToRead("meter");
  bed.AskToWrite("meter", 100, 1);
  bed.AskToWrite("meter", 101, 2);  // both may wait, and only one may go
  bed.ReplyWords({1});
  bed.ReplyWords({});
  EXPECT_THAT(bed.response(), HasSubstr("too_soon"));
  bed.AskToWrite("meter", 100, 3, R"(,"ttl_ms":1)");
  EXPECT_THAT(bed.response(), HasSubstr("too_soon"));
  bed.Pass(absl::Seconds(1));
  bed.AskToRead("pump");
  bed.AskToWrite("meter", 100, 4, R"(,"ttl_ms":1)");
  bed.Pass(absl::Milliseconds(1));
  EXPECT_THAT(bed.response(), HasSubstr("expired"));
  bed.AskToWrite("meter", 100, 5);
  bed.ReplyWords({1});
  EXPECT_THAT(bed.on_bus, SizeIs(1)) << "what expired took nothing from the rate";
}

TEST(ModbusHub, CommandsComeBeforePlainRequestsAndHaveRoomOfTheirOwn) {
  HubBed bed;
  for (size_t i = 0; i < ModbusLine::kMaxAsked + 1; ++i) bed.AskToRead("meter");
  bed.Command(7, R"({"function_code":3,"device_id":"fan","address":1})");
  bed.ReplyWords({1});
  EXPECT_EQ(bed.transaction().unit, 3);
}

TEST(ModbusHub, NoDetailOfACommandIsLongerThanItsBound) {
  ModbusPlan plan = BedPlan();
  plan.writes.push_back({.unit = 2, .first = 0, .last = 199, .rate_hz = 10, .read_back = true});
  HubBed bed(plan);
  std::string values = "1";
  for (int i = 1; i < 120; ++i) values += ",65535";
  bed.Command(7, absl::StrCat(R"({"function_code":16,"device_id":"fan","address":0,"values":[)", values, "]}"));
  bed.ReplyWords({});
  bed.ReplyWords(std::vector<uint16_t>(120, 1));
  EXPECT_EQ(bed.updates.back().detail(), "register 1: written was FFFF, and there is 0001 (hex)");
  EXPECT_LE(bed.events.back().detail().size(), 200u);
}

TEST(ModbusHub, TimeToLiveGoesWithTheJob) {
  HubBed bed;
  bed.AskToWrite("pump", 200, 9, R"(,"ttl_ms":300)");
  EXPECT_EQ(bed.transaction().not_after - bed.clock.Read().mono, absl::Milliseconds(300));
  bed.ReplyWords({});
  EXPECT_EQ(bed.transaction().not_after, MonoTime::Max()) << "what was written is read back, however late";
}

}  // namespace
}  // namespace fleet::device
