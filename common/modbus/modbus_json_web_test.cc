#include "common/modbus/modbus_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

TEST(ModbusWeb, ReadsAskAsTheReferenceSays) {
  EXPECT_EQ(ModbusWebTarget(Request(R"("function_code":3,"device_id":"A2332407312","address":10056)")),
            "/api/inverter/modbus?device_id=A2332407312&function_code=3&address=10056&size=1&type=U16&endianess=big"
            "&scale_factor=1");
  EXPECT_EQ(ModbusWebTarget(Request(R"("device_id":"a","type":"F32","endianess":"little","scale_factor":0.25)")),
            "/api/inverter/modbus?device_id=a&function_code=4&address=0&size=2&type=F32&endianess=little"
            "&scale_factor=0.25");
  EXPECT_THAT(ModbusWebTarget(Request(R"("device_id":"a","scale_factor":1e30)")), HasSubstr("&scale_factor=1e%2B30"));
  EXPECT_THAT(ModbusWebTarget(Request(R"("device_id":"a","scale_factor":-10.0)")), HasSubstr("&scale_factor=-10"));
}

TEST(ModbusWeb, WritesAskAsTheReferenceSays) {
  EXPECT_EQ(ModbusWebTarget(Request(R"("function_code":16,"device_id":"a","address":33207,"values":170)")),
            "/api/inverter/modbus?device_id=a&address=33207&function_code=16&values=170&type=U16");
  EXPECT_EQ(ModbusWebTarget(Request(R"("function_code":16,"device_id":"a","address":33207,"values":[170,171])")),
            "/api/inverter/modbus?device_id=a&address=33207&function_code=16&values=170,171&type=U16");
  EXPECT_THAT(ModbusWebTarget(Request(R"("function_code":16,"values":[-1.5,2],"type":"F32")")),
              HasSubstr("&values=-1.5,2&type=F32"));
  EXPECT_THAT(ModbusWebTarget(Request(R"("function_code":15,"values":[true,false],"type":"F32")")),
              HasSubstr("&values=1,0&type=U16"));
}

TEST(ModbusWeb, ABridgeIsGivenTheVeryRegistersThatWereJudged) {
  const auto values = [](absl::string_view fields) {
    const std::string target = ModbusWebTarget(Request(absl::StrCat(R"("function_code":16,)", fields)));
    return target.substr(target.find("&values="));
  };
  EXPECT_EQ(values(R"("values":1500,"scale_factor":10)"), "&values=150&type=U16");
  EXPECT_EQ(values(R"("values":7,"endianess":"little")"), "&values=7&type=U16");
  EXPECT_EQ(values(R"("values":65536,"type":"U32","endianess":"little")"), "&values=0,1&type=U16");
  EXPECT_EQ(values(R"("values":"\u0000A","type":"STR","size":2)"), "&values=65,0&type=U16");
}

TEST(ModbusWeb, AnAnswerIsItsOwnObject) {
  const ModbusRequest read = Request(R"("address":1)");
  const std::string body = R"({"register":1,"size":1,"raw_value":"002a","swapped_value":"002a","value":42})";
  EXPECT_EQ(std::get<std::string>(ModbusWebAnswer(read, 200, body)),
            R"({"raw_value":"002a","register":1,"size":1,"success":true,"swapped_value":"002a","value":42})");
  const ModbusRequest write = Request(R"("function_code":6,"values":1)");
  EXPECT_EQ(std::get<std::string>(ModbusWebAnswer(write, 200, R"({"address":0,"success":true,"values":[1]})")),
            R"({"address":0,"success":true,"values":[1]})");
  EXPECT_THAT(std::get<std::string>(ModbusWebAnswer(read, 200, R"({"value":0})")), HasSubstr("\"value\":0"));
}

TEST(ModbusWeb, EveryFailureOfTheBridgeHasItsCode) {
  const ModbusRequest read = Request(R"("address":1)");
  const ModbusRequest write = Request(R"("function_code":6,"values":1)");
  const struct {
    const ModbusRequest& request;
    int status;
    absl::string_view body;
    const char* code;
    const char* message;
  } kCases[] = {
      {read, 400, "missing device index\n", "bridge_refused", "missing device index"},
      {read, 400, "device X not found", "bridge_refused", "device X not found"},
      {read, 404, R"({"error":"invalid function code: 9"})", "bridge_refused", "invalid function code: 9"},
      {write, 400, "missing values parameter for write operation", "bridge_refused", "missing values parameter"},
      {read, 400, "\xff", "bridge_refused", "\xEF\xBF\xBD"},
      {read, 500, "{}", "bridge_failed", "500"},
      {read, 302, "", "bridge_failed", "302"},
      {read, 200, "", "bridge_failed", "line 1"},
      {read, 200, "<html>", "bridge_failed", "line 1"},
      {read, 200, "[1]", "bridge_failed", "no JSON object"},
      {read, 200, R"({"value":1)", "bridge_failed", "line 1"},
      {read, 200, R"({"value":null})", "read_failed", "no value"},
      {read, 200, "{}", "read_failed", "no value"},
      {read, 200, R"({"value":1,"success":false})", "read_failed", "no value"},
      {write, 200, R"({"success":false})", "write_failed", "written"},
      {write, 200, R"({"success":"yes"})", "write_failed", "written"},
      {write, 200, "{}", "write_failed", "written"},
  };
  for (const auto& bad : kCases) {
    const auto answer = ModbusWebAnswer(bad.request, bad.status, bad.body);
    const auto* failure = std::get_if<ModbusFailure>(&answer);
    ASSERT_NE(failure, nullptr) << bad.body;
    EXPECT_EQ(failure->code, bad.code) << bad.body;
    EXPECT_THAT(failure->message, HasSubstr(bad.message)) << bad.body;
  }
  const auto long_answer = ModbusWebAnswer(read, 400, std::string(60'000, 'x'));
  EXPECT_EQ(std::get<ModbusFailure>(long_answer).message.size(), 200u);
}

TEST(ModbusWeb, RegistersComeFromTheRawValue) {
  EXPECT_THAT(*ModbusWebWords(R"({"raw_value":"12345678"})", 2), ElementsAre(0x1234, 0x5678));
  EXPECT_THAT(*ModbusWebWords(R"({"raw_value":"0x002a"})", 1), ElementsAre(42));
  EXPECT_THAT(*ModbusWebWords(R"({"raw_value":"1234 5678"})", 2), ElementsAre(0x1234, 0x5678));
  for (const char* body : {R"({"raw_value":"123"})", R"({"raw_value":"12345"})", R"({"raw_value":"zzzzzzzz"})",
                           R"({"raw_value":"+123-123"})", R"({"raw_value":42})", "{}", "[]", "x"}) {
    EXPECT_EQ(ModbusWebWords(body, 2), std::nullopt) << body;
  }
}

}  // namespace
}  // namespace fleet
