#include "common/modbus/modbus_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const absl::Time kNow = absl::UnixEpoch() + absl::Microseconds(1'722'697'530'123'456);

// `fields` of a sound request to the unit m at address 0, unless they name others.
ModbusRequest Request(absl::string_view fields) {
  const bool has_device = absl::StrContains(fields, "device_id");
  const bool has_address = absl::StrContains(fields, "\"address\"");
  const ParsedModbusRequest parsed = ParseModbusRequest(
      absl::StrCat("{", fields, has_device ? "" : R"(,"device_id":"m")", has_address ? "" : R"(,"address":0)", "}"));
  const auto* failure = std::get_if<ModbusFailure>(&parsed.request);
  EXPECT_EQ(failure, nullptr) << fields << ": " << failure->code << ": " << failure->message;
  return failure == nullptr ? std::get<ModbusRequest>(parsed.request) : ModbusRequest();
}
// The part between "value": and the end of that field.
std::string Value(absl::string_view fields, const std::vector<uint16_t>& words) {
  const std::string json = ModbusReadJson(Request(fields), words);
  const size_t begin = json.find(R"("value":)") + 8;
  return json.substr(begin, json.find(R"(,"data")") - begin);
}

TEST(ModbusResponse, CarriesTimeIdRequestAndResponse) {
  const ParsedModbusRequest parsed = ParseModbusRequest(R"( {"id":7,"device_id":"m","address":0} )");
  EXPECT_EQ(ModbusResponseJson(parsed, R"({"success":true})", kNow),
            R"({"timestamp":"2024-08-03T15:05:30.123456Z","type":"modbus_response","id":7,)"
            R"("request":{"id":7,"device_id":"m","address":0},"response":{"success":true}})");
}

TEST(ModbusResponse, HasNoIdWhenNoneWasGivenAndNullForNoObject) {
  EXPECT_EQ(ModbusResponseJson(ParseModbusRequest("[]"), "{}", kNow),
            R"({"timestamp":"2024-08-03T15:05:30.123456Z","type":"modbus_response","request":null,"response":{}})");
}

TEST(ModbusResponse, OfAReadHasAllItsFields) {
  EXPECT_EQ(ModbusReadJson(Request(R"("address":10056)"), {42}),
            R"({"success":true,"device_id":"m","register":10056,"size":1,"raw_value":"002A",)"
            R"("swapped_value":"002A","value":42,"data":[42]})");
  EXPECT_EQ(ModbusReadJson(Request(R"("type":"U32","endianess":"little","size":4)"), {0x1234, 0x5678, 0xA, 0}),
            R"({"success":true,"device_id":"m","register":0,"size":4,"raw_value":"12345678000A0000",)"
            R"("swapped_value":"567812340000000A","value":[1450709556,10],"data":[1450709556,10]})");
}

TEST(ModbusResponse, ValuesAreThoseOfTheReference) {
  EXPECT_EQ(Value(R"("type":"U16")", {0x002A}), "42");
  EXPECT_EQ(Value(R"("type":"U32")", {0x1234, 0x5678}), "305419896");
  EXPECT_EQ(Value(R"("type":"U32","endianess":"little")", {0x1234, 0x5678}), "1450709556");
  EXPECT_THAT(Value(R"("type":"F32")", {0x4049, 0x0FDB}), StartsWith("3.1415927"));
  EXPECT_EQ(Value(R"("type":"I16","scale_factor":0.1)", {0xFFFD}), "-0.3");
  EXPECT_EQ(Value(R"("type":"U64")", {0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}), "18446744073709551615");
  EXPECT_EQ(Value(R"("type":"STR","size":2,"scale_factor":3)", {0x4142, 0x4300}), R"("ABC")");
}

TEST(ModbusResponse, WhatIsNoNumberIsNull) {
  EXPECT_EQ(Value(R"("type":"F32")", {0x7FC0, 0}), "null");
  EXPECT_EQ(Value(R"("type":"F32","size":4)", {0x7F80, 0, 0x3F80, 0}), "[null,1.0]");
}

TEST(ModbusResponse, BitsArePackedAsOnTheWire) {
  EXPECT_EQ(ModbusReadJson(Request(R"("function_code":1,"size":10,"scale_factor":5)"), {1, 0, 1, 1, 0, 0, 1, 1, 0, 1}),
            R"({"success":true,"device_id":"m","register":0,"size":10,"raw_value":"CD02","swapped_value":"CD02",)"
            R"("value":[1,0,1,1,0,0,1,1,0,1],"data":[1,0,1,1,0,0,1,1,0,1]})");
}

TEST(ModbusResponse, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(Value(R"("type":"STR","size":2)", {0xFF41, 0x2200}),
            "\"\xEF\xBF\xBD"
            "A\\\"\"");
  EXPECT_EQ(ModbusFailureJson({"bad_answer", "\xC3"}),
            "{\"success\":false,\"error\":{\"code\":\"bad_answer\",\"message\":\"\xEF\xBF\xBD\"}}");
}

TEST(ModbusResponse, OfAWriteHasItsValuesAsAList) {
  EXPECT_EQ(ModbusWriteJson(Request(R"("function_code":6,"address":5,"values":170)"), false),
            R"({"success":true,"device_id":"m","address":5,"values":[170]})");
  EXPECT_EQ(ModbusWriteJson(Request(R"("function_code":16,"values":[1,2.0])"), true),
            R"({"success":true,"device_id":"m","address":0,"values":[1,2.0],"read_back":true})");
  EXPECT_EQ(ModbusWriteJson(Request(R"("function_code":16,"type":"STR","values":"[a]")"), false),
            R"({"success":true,"device_id":"m","address":0,"values":["[a]"]})");
}

TEST(ModbusResponse, WhatIsTooLongLosesWhatItSaysTwice) {
  const std::string response = ModbusReadJson(Request(R"("size":3)"), {1, 2, 3});
  EXPECT_EQ(FitModbusJson(response, response.size()), response);
  const auto shorter = FitModbusJson(response, response.size() - 1);
  ASSERT_TRUE(shorter.has_value());
  EXPECT_THAT(*shorter, HasSubstr(R"("value":[1,2,3])"));
  EXPECT_THAT(*shorter, Not(HasSubstr("data")));
  EXPECT_THAT(*shorter, Not(HasSubstr("raw_value")));
  EXPECT_EQ(FitModbusJson(response, 20), std::nullopt);
}

TEST(GatewayState, IsTheBridgesWithTimeAndType) {
  EXPECT_EQ(GatewayStateJson(R"({"status":"ok","n":1,"type":"other"})", kNow),
            R"({"n":1,"status":"ok","timestamp":"2024-08-03T15:05:30.123456Z","type":"gateway_state"})");
  EXPECT_EQ(GatewayStateJson("[]", kNow), "");
  EXPECT_EQ(GatewayStateJson("oops", kNow), "");
}

TEST(GatewayState, OfADeviceWithoutABridgeIsItsOwn) {
  EXPECT_EQ(GatewayStateJson(GatewayFacts{.uptime_s = 12.5, .version = "1.2.3", .connected_devices = 2}, kNow),
            R"({"connected_devices":2,"status":"online","timestamp":"2024-08-03T15:05:30.123456Z",)"
            R"("type":"gateway_state","uptime":12.5,"version":"1.2.3"})");
}

TEST(GatewayState, FallbackIsThatOfTheReference) {
  EXPECT_EQ(GatewayFallbackJson({.uptime_s = 60, .version = "1.2.3"}, kNow),
            R"({"error":"Failed to fetch state from web container","status":"api_unavailable",)"
            R"("timestamp":"2024-08-03T15:05:30.123456Z","type":"gateway_state","uptime":60.0,"version":"1.2.3"})");
}

TEST(AsksToWrite, KnowsWritesFromReadsAndFromWhatIsNeither) {
  EXPECT_TRUE(AsksToWrite(R"({"function_code":6,"device_id":"a","address":0,"values":1})"));
  EXPECT_FALSE(AsksToWrite(R"({"function_code":3,"device_id":"a","address":0})"));
  EXPECT_FALSE(AsksToWrite(R"({"function_code":6,"device_id":"a"})"));
}

}  // namespace
}  // namespace fleet
