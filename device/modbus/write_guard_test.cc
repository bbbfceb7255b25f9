#include "device/modbus/write_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_json.h"
#include "common/modbus/modbus_values.h"

namespace fleet::device {
namespace {

using ::testing::HasSubstr;

const MonoTime kNow = MonoTime::FromNanos(1'000'000'000'000);
constexpr absl::StatusCode kAllowed = absl::StatusCode::kOk;
constexpr absl::StatusCode kDenied = absl::StatusCode::kPermissionDenied;
constexpr absl::StatusCode kTooSoon = absl::StatusCode::kResourceExhausted;

// 100 may be 0 to 1000, as U16.
ModbusWriteRule PowerLimit() {
  return {.first = 100, .last = 100, .min = int64_t{0}, .max = int64_t{1000}};
}
// 200 and 201 hold a U32 of 70000 to 80000, the high register first.
ModbusWriteRule Counter() {
  return {.first = 200, .last = 201, .type = ModbusType::kU32, .min = int64_t{70000}, .max = int64_t{80000}};
}

ModbusRequest Write(std::string json) {
  json.insert(1, R"("device_id":"meter",)");
  const ParsedModbusRequest parsed = ParseModbusRequest(json);
  const auto* failure = std::get_if<ModbusFailure>(&parsed.request);
  EXPECT_EQ(failure, nullptr) << json << ": " << failure->message;
  return failure == nullptr ? std::get<ModbusRequest>(parsed.request) : ModbusRequest();
}

absl::Status Judged(const ModbusWriteRule& rule, const std::string& json, size_t unit = 0) {
  WriteGuard guard({rule});
  return guard.Judge(unit, Write(json), kNow);
}
absl::StatusCode Code(const ModbusWriteRule& rule, const std::string& json, size_t unit = 0) {
  return Judged(rule, json, unit).code();
}

TEST(WriteGuard, NothingMayBeWrittenUntilItIsAllowed) {
  WriteGuard guard({});
  EXPECT_EQ(guard.Judge(0, Write(R"({"function_code":6,"address":100,"values":1})"), kNow).code(), kDenied);
  EXPECT_EQ(guard.Judge(0, Write(R"({"function_code":5,"address":100,"values":1})"), kNow).code(), kDenied);
  EXPECT_EQ(guard.refused(), 2u);
}

TEST(WriteGuard, BoundsAreWithinWhatIsAllowed) {
  for (const char* value : {"0", "1", "1000"}) {
    EXPECT_EQ(Code(PowerLimit(), absl::StrCat(R"({"function_code":6,"address":100,"values":)", value, "}")), kAllowed);
    EXPECT_EQ(Code(PowerLimit(), absl::StrCat(R"({"function_code":16,"address":100,"values":)", value, "}")), kAllowed);
  }
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":100,"values":1001})"), kDenied);
  const absl::Status status = Judged(PowerLimit(), R"({"function_code":16,"address":100,"values":1001})");
  EXPECT_THAT(std::string(status.message()), HasSubstr("1001 is more than 1000"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("register 100"));
}

TEST(WriteGuard, OtherUnitsTablesAndRegistersAreNotMeant) {
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":100,"values":1})", /*unit=*/1), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":5,"address":100,"values":1})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":99,"values":1})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":101,"values":1})"), kDenied);
}

TEST(WriteGuard, ScaleTakesNoValuePastItsBounds) {
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":100,"values":1000,"scale_factor":0.1})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":100,"values":-5,"scale_factor":-0.001})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":100,"values":100,"scale_factor":0.1})"), kAllowed);
}

TEST(WriteGuard, TypeTakesNoValuePastItsBounds) {
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":6,"address":100,"values":-1,"type":"I16"})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":16,"address":100,"values":"zz","type":"STR"})"), kDenied);
  // As U16 both halves would look harmless.
  EXPECT_EQ(Code(Counter(), R"({"function_code":16,"address":200,"values":[0,5]})"), kDenied);
  EXPECT_EQ(Code(Counter(), R"({"function_code":16,"address":200,"values":[1,4464]})"), kAllowed);
  EXPECT_EQ(Code(Counter(), R"({"function_code":16,"address":200,"values":1.0,"type":"F32"})"), kDenied);
}

TEST(WriteGuard, OrderTakesNoValuePastItsBounds) {
  EXPECT_EQ(Code(Counter(), R"({"function_code":16,"address":200,"values":75000,"type":"U32"})"), kAllowed);
  const char swapped[] = R"({"function_code":16,"address":200,"values":75000,"type":"U32","endianess":"little"})";
  EXPECT_EQ(Code(Counter(), swapped), kDenied);
  ModbusWriteRule little = Counter();
  little.little_endian = true;
  EXPECT_EQ(Code(little, swapped), kAllowed);
}

TEST(WriteGuard, WritingFromBelowOrBeyondNeedsARuleForEveryRegister) {
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":16,"address":99,"values":[0,5]})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":16,"address":100,"values":[5,0]})"), kDenied);
  EXPECT_EQ(Code(PowerLimit(), R"({"function_code":16,"address":99,"values":5,"type":"U32"})"), kDenied);
}

TEST(WriteGuard, ABoundHoldsForTheRegisterWhereverTheWriteBegins) {
  WriteGuard guard({{.first = 98, .last = 99}, PowerLimit()});
  EXPECT_EQ(guard.Judge(0, Write(R"({"function_code":16,"address":98,"values":[9,9,1001]})"), kNow).code(), kDenied);
  EXPECT_EQ(guard.Judge(0, Write(R"({"function_code":16,"address":98,"values":[65535,9,1000]})"), kNow).code(),
            kAllowed);
}

TEST(WriteGuard, EveryValueOfAListIsJudged) {
  ModbusWriteRule rule = PowerLimit();
  rule.last = 103;
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":100,"values":[1,2,3,4]})"), kAllowed);
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":100,"values":[1,2,3,1001]})"), kDenied);
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":102,"values":[3,1001]})"), kDenied);
}

TEST(WriteGuard, NoHalfOfAValueIsWritten) {
  ModbusWriteRule pair = Counter();
  pair.last = 203;
  const absl::Status low_half = Judged(pair, R"({"function_code":6,"address":201,"values":4464})");
  EXPECT_EQ(low_half.code(), kDenied);
  EXPECT_THAT(std::string(low_half.message()), HasSubstr("U32 at register 200"));
  EXPECT_EQ(Code(pair, R"({"function_code":6,"address":200,"values":1})"), kDenied);
  EXPECT_EQ(Code(pair, R"({"function_code":16,"address":200,"values":[1,4464,1]})"), kDenied);
  EXPECT_EQ(Code(pair, R"({"function_code":16,"address":201,"values":75000,"type":"U32"})"), kDenied);
  EXPECT_EQ(Code(pair, R"({"function_code":16,"address":202,"values":75000,"type":"U32"})"), kAllowed);
}

TEST(WriteGuard, RuleWithoutBoundsStillWantsWholeValues) {
  ModbusWriteRule free = Counter();
  free.min.reset();
  free.max.reset();
  EXPECT_EQ(Code(free, R"({"function_code":6,"address":201,"values":1})"), kDenied);
  EXPECT_EQ(Code(free, R"({"function_code":16,"address":200,"values":[65535,65535]})"), kAllowed);
}

TEST(WriteGuard, WhereRulesOverlapAllHaveToAllow) {
  ModbusWriteRule wide{.first = 0, .last = 65535};
  WriteGuard guard({wide, PowerLimit()});
  EXPECT_EQ(guard.Judge(0, Write(R"({"function_code":6,"address":100,"values":1001})"), kNow).code(), kDenied);
  EXPECT_EQ(guard.Judge(0, Write(R"({"function_code":6,"address":101,"values":1001})"), kNow).code(), kAllowed);
}

TEST(WriteGuard, NotANumberIsBeyondEveryBound) {
  ModbusWriteRule rule{.first = 10, .last = 11, .type = ModbusType::kF32, .max = 5.0};
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":10,"values":[32704,0]})"), kDenied);  // 7FC0 0000
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":10,"values":[32640,0]})"), kDenied);  // infinity
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":10,"values":5,"type":"F32"})"), kAllowed);
}

TEST(WriteGuard, BoundsOf64BitsAreExact) {
  ModbusWriteRule rule{.first = 10, .last = 13, .type = ModbusType::kU64, .max = int64_t{9007199254740992}};
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":10,"values":9007199254740992,"type":"U64"})"), kAllowed);
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":10,"values":9007199254740993,"type":"U64"})"), kDenied);
  EXPECT_EQ(Code(rule, R"({"function_code":16,"address":10,"values":"18446744073709551615","type":"U64"})"), kDenied);
}

TEST(WriteGuard, CoilsHaveRulesOfTheirOwn) {
  ModbusWriteRule only_off{.coils = true, .first = 8, .last = 9, .max = int64_t{0}};
  EXPECT_EQ(Code(only_off, R"({"function_code":5,"address":8,"values":false})"), kAllowed);
  EXPECT_EQ(Code(only_off, R"({"function_code":5,"address":8,"values":true})"), kDenied);
  EXPECT_EQ(Code(only_off, R"({"function_code":15,"address":8,"values":[false,true]})"), kDenied);
  EXPECT_EQ(Code(only_off, R"({"function_code":15,"address":7,"values":[false,false]})"), kDenied);
  EXPECT_EQ(Code(only_off, R"({"function_code":6,"address":8,"values":0})"), kDenied);
}

TEST(WriteGuard, TheLastRegisterCanBeAllowedAndNothingWrapsAround) {
  ModbusWriteRule last{.first = 65535, .last = 65535};
  EXPECT_EQ(Code(last, R"({"function_code":6,"address":65535,"values":1})"), kAllowed);
  ModbusRequest beyond = Write(R"({"function_code":6,"address":65535,"values":1})");
  beyond.words = {1, 2};
  WriteGuard guard({last, {.first = 0, .last = 0}});
  EXPECT_EQ(guard.Judge(0, beyond, kNow).code(), kDenied);
}

TEST(WriteGuard, AWriteOfNothingIsRefused) {
  WriteGuard guard({PowerLimit()});
  EXPECT_EQ(guard.Judge(0, {.function = ModbusFunction::kWriteRegisters, .address = 100}, kNow).code(), kDenied);
}

TEST(WriteGuard, RateHoldsOverTimeWithoutABurst) {
  ModbusWriteRule rule = PowerLimit();
  rule.rate_hz = 10;
  WriteGuard guard({rule});
  const ModbusRequest write = Write(R"({"function_code":6,"address":100,"values":1})");
  EXPECT_TRUE(guard.Judge(0, write, kNow).ok());
  EXPECT_EQ(guard.Judge(0, write, kNow).code(), kTooSoon);
  int passed = 0;
  for (int ms = 1; ms <= 10'000; ++ms) passed += guard.Judge(0, write, kNow + absl::Milliseconds(ms)).ok();
  EXPECT_EQ(passed, 100);
}

TEST(WriteGuard, WhatIsRefusedTakesNothingFromTheRate) {
  WriteGuard guard({PowerLimit(), {.first = 101, .last = 101, .rate_hz = 0.001}});
  const ModbusRequest both = Write(R"({"function_code":16,"address":100,"values":[1,1]})");
  const ModbusRequest bad = Write(R"({"function_code":6,"address":100,"values":1001})");
  const ModbusRequest good = Write(R"({"function_code":6,"address":100,"values":1})");
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(guard.Judge(0, bad, kNow).code(), kDenied);
  EXPECT_TRUE(guard.Judge(0, both, kNow).ok());
  // 101 is too soon for a long time, which costs 100 nothing.
  EXPECT_EQ(guard.Judge(0, both, kNow + absl::Seconds(1)).code(), kTooSoon);
  EXPECT_TRUE(guard.Judge(0, good, kNow + absl::Seconds(1)).ok());
  EXPECT_EQ(guard.refused(), 1001u);
}

TEST(WriteGuard, OneRuleOfThoseThatAreWrittenIsEnoughToReadBack) {
  ModbusWriteRule checked{.first = 101, .last = 101, .read_back = true};
  const WriteGuard guard({PowerLimit(), checked});
  EXPECT_FALSE(guard.WantsReadBack(0, Write(R"({"function_code":6,"address":100,"values":1})")));
  EXPECT_TRUE(guard.WantsReadBack(0, Write(R"({"function_code":16,"address":100,"values":[1,1]})")));
  EXPECT_FALSE(guard.WantsReadBack(1, Write(R"({"function_code":6,"address":101,"values":1})")));
}

TEST(WriteGuard, LookingTakesNothingFromTheRate) {
  WriteGuard guard({PowerLimit()});
  const ModbusRequest write = Write(R"({"function_code":6,"address":100,"values":1})");
  EXPECT_TRUE(guard.Look(0, write, kNow).ok());
  EXPECT_TRUE(guard.Look(0, write, kNow).ok());
  EXPECT_TRUE(guard.Judge(0, write, kNow).ok());
  EXPECT_EQ(guard.Look(0, write, kNow).code(), kTooSoon);
  EXPECT_EQ(guard.refused(), 1u);
}

}  // namespace
}  // namespace fleet::device
