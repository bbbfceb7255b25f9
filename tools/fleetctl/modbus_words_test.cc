// The words of the verbs for Modbus units.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "common/http_server.h"
#include "tools/fleetctl/command_line.h"

namespace fleet {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::variant<CommandLine, Finished> Parse(absl::string_view text) {
  return ParseCommandLine(absl::StrSplit(text, ' '), {});
}

ModbusVerb Good(absl::string_view text) {
  auto parsed = Parse(text);
  if (const auto* finished = std::get_if<Finished>(&parsed)) {
    ADD_FAILURE() << text << ": " << finished->err << finished->out;
    return {};
  }
  return std::get<ModbusVerb>(std::get<CommandLine>(parsed).verb);
}

std::string Mistake(absl::string_view text) {
  auto parsed = Parse(text);
  const auto* finished = std::get_if<Finished>(&parsed);
  if (finished == nullptr) {
    ADD_FAILURE() << text << " was accepted";
    return "";
  }
  EXPECT_EQ(finished->exit_code, 2) << text;
  EXPECT_EQ(finished->err.find('\n'), finished->err.size() - 1) << finished->err;
  return finished->err;
}

// As they are in the request.
std::string ValuesOf(absl::string_view text) {
  return ToJson(Good(text).request.values());
}

TEST(ModbusWords, AReadIsOfOneHoldingRegisterUnlessSaid) {
  const ModbusVerb verb = Good("modbus read van-7 meter 10056");
  EXPECT_EQ(verb.device, "van-7");
  EXPECT_EQ(verb.request.ShortDebugString(),
            "function_code: 3 device_id: \"meter\" address: 10056 type: \"U16\" endianess: \"big\" ttl_ms: 5000");
  EXPECT_EQ(verb.registers_per_value, 1u);
}

TEST(ModbusWords, AReadSaysAllThatARequestMay) {
  const ModbusVerb verb =
      Good("modbus read van-7 --fc 4 meter --type f32 0xFffe --size 2 --order little --scale 0.1 --ttl 1500ms");
  EXPECT_EQ(verb.request.ShortDebugString(),
            "function_code: 4 device_id: \"meter\" address: 65534 size: 2 type: \"F32\" endianess: \"little\" "
            "scale_factor: 0.1 ttl_ms: 1500");
  EXPECT_EQ(verb.registers_per_value, 2u);
}

TEST(ModbusWords, CoilsHaveNoType) {
  const ModbusVerb verb = Good("modbus read van-7 pump 0 --fc 1 --size 16 --type U64");
  EXPECT_EQ(verb.request.ShortDebugString(), "function_code: 1 device_id: \"pump\" size: 16 ttl_ms: 5000");
  EXPECT_EQ(verb.registers_per_value, 1u);
}

TEST(ModbusWords, OneRegisterIsWrittenAloneAndMoreTogether) {
  EXPECT_EQ(Good("modbus write van-7 meter 1 170").request.function_code(), 6u);
  EXPECT_EQ(Good("modbus write van-7 meter 1 -5 --type I16").request.function_code(), 6u);
  EXPECT_EQ(Good("modbus write van-7 meter 1 1 2").request.function_code(), 16u);
  EXPECT_EQ(Good("modbus write van-7 meter 1 1 --type F32").request.function_code(), 16u);
  EXPECT_EQ(Good("modbus write van-7 meter 1 1 --fc 16").request.function_code(), 16u);
  EXPECT_EQ(Good("modbus write van-7 pump 1 true --fc 5").request.function_code(), 5u);
}

TEST(ModbusWords, ValuesAreExact) {
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 170"), "170\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 0xAA 2"), "[170,2]\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 -1.5 2.25 --type F32"), "[-1.5,2.25]\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 18446744073709551615 --type U64"), "\"18446744073709551615\"\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 0xFFFFFFFFFFFFFFFF --type U64"), "\"18446744073709551615\"\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 -9223372036854775808 --type I64"), "\"-9223372036854775808\"\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 9007199254740992 --type I64"), "9007199254740992\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 pump 1 1 false true 0 --fc 15"), "[true,false,true,false]\n");
  EXPECT_EQ(ValuesOf("modbus write van-7 meter 1 0170 --type STR"), "\"0170\"\n");
}

TEST(ModbusWords, AWrongWordIsNamedWithWhatItShouldBe) {
  const std::string read = "modbus read van-7 meter ";
  EXPECT_THAT(Mistake(read + "65536"), HasSubstr("ADDRESS wants 0 to 65535"));
  EXPECT_THAT(Mistake(read + "0x1G"), HasSubstr("got '0x1G'"));
  EXPECT_THAT(Mistake(read + "-1"), HasSubstr("ADDRESS wants"));
  EXPECT_THAT(Mistake(read + "1 --fc 6"), HasSubstr("--fc wants 1 for coils"));
  EXPECT_THAT(Mistake(read + "1 --fc 6"), HasSubstr("that one writes"));
  EXPECT_THAT(Mistake(read + "1 --fc 7"), HasSubstr("got '7'; see fleetctl modbus read --help"));
  EXPECT_THAT(Mistake(read + "1 --type F23"), HasSubstr("did you mean F32?"));
  EXPECT_THAT(Mistake(read + "1 --order litle"), HasSubstr("did you mean little?"));
  EXPECT_THAT(Mistake(read + "1 --scale x"), HasSubstr("--scale wants a number"));
  EXPECT_THAT(Mistake(read + "1 --size 126"), HasSubstr("--size wants a whole number from 1 to 125"));
  EXPECT_THAT(Mistake(read + "1 --ttl 2h"), HasSubstr("--ttl wants a duration from 1ms to 1h"));
  EXPECT_THAT(Mistake("modbus read van-7 me/ter 1"), HasSubstr("UNIT wants"));
  EXPECT_THAT(Mistake("modbus read van-7 meter"), EndsWith("see fleetctl modbus read --help\n"));
}

TEST(ModbusWords, WhatDoesNotFitTogetherIsRefusedBeforeTheServerIsAsked) {
  EXPECT_THAT(Mistake("modbus read van-7 meter 1 --type F32 --size 3"), AllOf(HasSubstr("size"), HasSubstr("F32")));
  EXPECT_THAT(Mistake("modbus read van-7 meter 1 --scale 0"), HasSubstr("scale_factor"));
  EXPECT_THAT(Mistake("modbus write van-7 meter 1 70000"), HasSubstr("70000"));
  EXPECT_THAT(Mistake("modbus write van-7 meter 1 1 2 --fc 6"), HasSubstr("values"));
}

TEST(ModbusWords, AValueThatIsNoneSaysWhichAndWhatFits) {
  EXPECT_THAT(Mistake("modbus write van-7 meter 1 1 x"), HasSubstr("VALUE 2 wants a number, or text with --type STR"));
  EXPECT_THAT(Mistake("modbus write van-7 meter 1 true"), HasSubstr("of a coil with --fc 5"));
  EXPECT_THAT(Mistake("modbus write van-7 pump 1 2 --fc 5"), HasSubstr("VALUE 1 wants 0, 1, true or false; got '2'"));
  EXPECT_THAT(Mistake("modbus write van-7 meter 1 a b --type STR"), HasSubstr("text is one VALUE"));
  EXPECT_THAT(Mistake("modbus write van-7 meter 1 nan --type F32"), HasSubstr("VALUE 1 wants a number"));
  EXPECT_THAT(Mistake("modbus write van-7 meter 1"), EndsWith("see fleetctl modbus write --help\n"));
}

TEST(ModbusWords, AWrongVerbGetsTheNearest) {
  EXPECT_EQ(Mistake("modbus raed van-7 meter 1"),
            "fleetctl: there is no 'raed'; did you mean read?; see fleetctl modbus --help\n");
  EXPECT_THAT(Mistake("modbas read van-7 meter 1"), HasSubstr("did you mean modbus?"));
}

}  // namespace
}  // namespace fleet
