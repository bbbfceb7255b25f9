#include "common/modbus/modbus_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// `fields` of a request to the unit m at address 0, unless they name others.
ParsedModbusRequest Parsed(absl::string_view fields) {
  const bool has_device = absl::StrContains(fields, "device_id");
  const bool has_address = absl::StrContains(fields, "\"address\"");
  return ParseModbusRequest(
      absl::StrCat("{", fields, has_device ? "" : R"(,"device_id":"m")", has_address ? "" : R"(,"address":0)", "}"));
}
ModbusRequest Request(absl::string_view fields) {
  const ParsedModbusRequest parsed = Parsed(fields);
  const auto* failure = std::get_if<ModbusFailure>(&parsed.request);
  EXPECT_EQ(failure, nullptr) << fields << ": " << failure->code << ": " << failure->message;
  return failure == nullptr ? std::get<ModbusRequest>(parsed.request) : ModbusRequest();
}
ModbusFailure FailureIn(const ParsedModbusRequest& parsed) {
  const auto* failure = std::get_if<ModbusFailure>(&parsed.request);
  return failure == nullptr ? ModbusFailure{"none", ""} : *failure;
}
std::string Code(absl::string_view fields) {
  return FailureIn(Parsed(fields)).code;
}
std::vector<uint16_t> Written(absl::string_view fields) {
  return Request(absl::StrCat(R"("function_code":16,)", fields)).words;
}
TEST(ModbusRequest, ReadsAsTheReferenceWritesThem) {
  const ModbusRequest request = Request(
      R"("function_code":3,"device_id":"A2332407312","address":10056,"size":1,"type":"U16","endianess":"big","scale_factor":1)");
  EXPECT_EQ(request.device_id, "A2332407312");
  EXPECT_EQ(request.function, ModbusFunction::kReadHoldingRegisters);
  EXPECT_EQ(request.address, 10056);
  EXPECT_EQ(request.size, 1);
  EXPECT_EQ(request.type, ModbusType::kU16);
  EXPECT_FALSE(request.little_endian);
  EXPECT_EQ(request.scale_factor, 1);
  EXPECT_THAT(request.words, IsEmpty());
}

TEST(ModbusRequest, WritesAsTheReferenceWritesThem) {
  const ModbusRequest one = Request(R"("function_code":16,"device_id":"x","address":33207,"values":170,"type":"U16")");
  EXPECT_THAT(one.words, ElementsAre(170));
  EXPECT_EQ(one.size, 1);
  EXPECT_EQ(one.values, "170");
  const ModbusRequest two =
      Request(R"("function_code":16,"device_id":"x","address":33207,"values":[170,171],"type":"U16")");
  EXPECT_THAT(two.words, ElementsAre(170, 171));
  EXPECT_EQ(two.size, 2);
  EXPECT_EQ(two.values, "[170,171]");
}

TEST(ModbusRequest, HasTheDefaultsOfTheReference) {
  const ModbusRequest request = Request(R"("device_id":"x","address":1)");
  EXPECT_EQ(request.function, ModbusFunction::kReadInputRegisters);
  EXPECT_EQ(request.size, 1);
  EXPECT_EQ(request.type, ModbusType::kU16);
  EXPECT_FALSE(request.little_endian);
  EXPECT_EQ(request.scale_factor, 1);
  EXPECT_EQ(Request(R"("type":"U64")").size, 4);
  EXPECT_EQ(Request(R"("type":"STR")").size, 1);
  EXPECT_EQ(Request(R"("type":null,"size":null,"function_code":null,"values":null,"unknown":{})").size, 1);
}

TEST(ModbusRequest, WhatTheOriginalDroppedIsARequest) {
  EXPECT_EQ(Request(R"("address":0)").address, 0);
  EXPECT_EQ(Request(R"("function_code":"3")").function, ModbusFunction::kReadHoldingRegisters);
  EXPECT_EQ(Request(R"("function_code":3.0)").function, ModbusFunction::kReadHoldingRegisters);
  EXPECT_EQ(Request(R"("device_id":2332407312)").device_id, "2332407312");
}

TEST(ModbusRequest, AllEightFunctionsAreKnown) {
  for (const int code : {1, 2, 3, 4, 5, 6, 15, 16}) {
    const ModbusRequest request = Request(absl::StrCat(R"("values":1,"function_code":)", code));
    EXPECT_EQ(CodeOf(request.function), code);
    EXPECT_EQ(request.words.size(), IsWrite(request.function) ? 1u : 0u);
  }
  for (const char* code : {"0", "7", "22", "-1", "1e9", "3.5", R"("three")", "true", "[3]", "\"\""}) {
    EXPECT_EQ(Code(absl::StrCat(R"("function_code":)", code)), "bad_function") << code;
  }
}

TEST(ModbusRequest, WhatIsNoJsonIsSaidWithItsPlace) {
  const struct {
    absl::string_view text;
    const char* message;
  } kCases[] = {
      {"", "line 1, column 1"},
      {"{", "line 1, column 2"},
      {"{\"a\":1,}", "column 8"},
      {"{\n \"a\": nope}", "line 2"},
      {"{'a':1}", "column 2"},
      {"{} {}", "column 4"},
      {"{\"a\":1} // comment", "column 9"},
      {"{\"a\":01}", "column 7"},
      {"{\"a\":NaN}", "column 6"},
      {"{\"a\":\"\xff\"}", "UTF-8"},
      {"{\"a\":\"\\ud800\"}", "surrogate"},
      {"{\"a\":1e999}", "1e999"},
      {absl::string_view("{}\0", 3), "byte 3 is NUL"},
      {absl::string_view("{}\0}", 4), "byte 3 is NUL"},
  };
  for (const auto& bad : kCases) {
    const ParsedModbusRequest parsed = ParseModbusRequest(bad.text);
    EXPECT_EQ(FailureIn(parsed).code, "not_json") << bad.text;
    EXPECT_THAT(FailureIn(parsed).message, HasSubstr(bad.message)) << bad.text;
    EXPECT_EQ(parsed.echo, "null") << bad.text;
    EXPECT_EQ(parsed.id, "") << bad.text;
  }
}

TEST(ModbusRequest, OnlyAnObjectIsARequest) {
  for (const char* text : {"null", "true", "17", "\"{}\"", "[]", "[{\"device_id\":\"m\"}]"}) {
    const ParsedModbusRequest parsed = ParseModbusRequest(text);
    EXPECT_EQ(FailureIn(parsed).code, "not_json") << text;
    EXPECT_EQ(parsed.echo, "null") << text;
  }
}

TEST(ModbusRequest, NestingIsBounded) {
  const auto nested = [](size_t levels) {
    return absl::StrCat(R"({"device_id":"m","address":0,"x":)", std::string(levels, '['), std::string(levels, ']'),
                        "}");
  };
  EXPECT_TRUE(std::holds_alternative<ModbusRequest>(ParseModbusRequest(nested(31)).request));
  EXPECT_THAT(FailureIn(ParseModbusRequest(nested(32))).message, HasSubstr("nested too deeply"));
  EXPECT_EQ(FailureIn(ParseModbusRequest(std::string(1'000'000, '['))).code, "not_json");
  EXPECT_EQ(Code(absl::StrCat(R"("x":"\")", std::string(100, '['), "\"")), "none") << "in a text they are characters";
}

TEST(ModbusRequest, OfARepeatedFieldTheLastCounts) {
  EXPECT_EQ(Request(R"("device_id":"a","address":1,"address":2)").address, 2);
}

TEST(ModbusRequest, EchoIsTheTextAsItCame) {
  const std::string text = "{\"device_id\":\"m\",\n \"address\": 0, \"n\":123456789012345678901234567890, \"f\":1.50}";
  EXPECT_EQ(ParseModbusRequest(" \t\r\n" + text + "\n ").echo, text);
  EXPECT_EQ(ParseModbusRequest("\xEF\xBB\xBF" + text).echo, text);
  EXPECT_EQ(ParseModbusRequest("{}").echo, "{}") << "also of a wrong one";
}

TEST(ModbusRequest, IdIsReadEvenIfTheRestIsWrong) {
  for (const char* id : {"7", "\"a\"", "-1", "true", "null", "1.5", "18446744073709551615", "\"\\n\xC3\xA9\""}) {
    const ParsedModbusRequest parsed = ParseModbusRequest(absl::StrCat("{\"id\":", id, "}"));
    EXPECT_EQ(parsed.id, id);
    EXPECT_EQ(FailureIn(parsed).code, "bad_request");
  }
  EXPECT_EQ(Parsed(R"("function_code":3)").id, "");
}

TEST(ModbusRequest, IdIsAScalarOfAtMost128Bytes) {
  const std::string longest(128, 'x');
  EXPECT_EQ(Parsed(absl::StrCat(R"("id":")", longest, "\"")).id, absl::StrCat("\"", longest, "\""));
  for (const std::string& id : {absl::StrCat("\"", longest, "x\""), std::string("{}"), std::string("[1]")}) {
    const ParsedModbusRequest parsed = Parsed(absl::StrCat(R"("id":)", id));
    EXPECT_EQ(FailureIn(parsed).code, "bad_request");
    EXPECT_THAT(FailureIn(parsed).message, StartsWith("id: "));
    EXPECT_EQ(parsed.id, "");
  }
}

TEST(ModbusRequest, TimeToLiveIsUpToAnHour) {
  EXPECT_FALSE(Parsed(R"("size":1)").ttl.has_value());
  EXPECT_EQ(Parsed(R"("ttl_ms":1)").ttl, absl::Milliseconds(1));
  EXPECT_EQ(Parsed(R"("ttl_ms":3600000)").ttl, absl::Hours(1));
  for (const char* ttl : {"0", "-1", "3600001", "1.5", "\"soon\"", "[]"}) {
    const ParsedModbusRequest parsed = Parsed(absl::StrCat(R"("ttl_ms":)", ttl));
    EXPECT_EQ(FailureIn(parsed).code, "bad_request") << ttl;
    EXPECT_THAT(FailureIn(parsed).message, StartsWith("ttl_ms: ")) << ttl;
  }
}

TEST(ModbusRequest, ABadRequestNamesItsField) {
  const std::string long_id(65, 'x');
  const struct {
    std::string text;
    const char* message;
  } kCases[] = {
      {R"({"address":0})", "device_id is missing"},
      {R"({"device_id":"","address":0})", "device_id: "},
      {R"({"device_id":"a b","address":0})", "device_id: "},
      {R"({"device_id":"a/b","address":0})", "device_id: "},
      {R"({"device_id":"*","address":0})", "device_id: "},
      {R"({"device_id":1.5,"address":0})", "device_id: "},
      {R"({"device_id":["a"],"address":0})", "device_id: "},
      {absl::StrCat(R"({"address":0,"device_id":")", long_id, "\"}"), "device_id: "},
      {R"({"device_id":"m"})", "address is missing"},
      {R"({"device_id":"m","address":"here"})", "address: "},
      {R"({"device_id":"m","address":1.5})", "address: "},
      {R"({"device_id":"m","address":0,"endianess":"BIG"})", "endianess: "},
      {R"({"device_id":"m","address":0,"endianess":1})", "endianess: "},
      {R"({"device_id":"m","address":0,"scale_factor":0})", "scale_factor: "},
      {R"({"device_id":"m","address":0,"scale_factor":-0.0})", "scale_factor: "},
      {R"({"device_id":"m","address":0,"scale_factor":"NaN"})", "scale_factor: "},
      {R"({"device_id":"m","address":0,"size":"all"})", "size: "},
      {R"({"device_id":"m","address":0,"function_code":6})", "values is missing"},
  };
  for (const auto& bad : kCases) {
    const ModbusFailure failure = FailureIn(ParseModbusRequest(bad.text));
    EXPECT_EQ(failure.code, "bad_request") << bad.text;
    EXPECT_THAT(failure.message, StartsWith(bad.message)) << bad.text;
  }
}

TEST(ModbusRequest, AddressesEndWithTheTable) {
  EXPECT_EQ(Request(R"("address":65535)").address, 65535);
  EXPECT_EQ(Request(R"("address":65411,"size":125)").size, 125);
  for (const char* fields : {R"("address":65536)", R"("address":-1)", R"("address":1e300)",
                             R"("address":65535,"size":2)", R"("address":65535,"type":"U32")",
                             R"("address":65412,"size":125)", R"("address":65535,"function_code":16,"values":[1,2])"}) {
    EXPECT_EQ(Code(fields), "bad_address") << fields;
  }
}

TEST(ModbusRequest, SizeFitsFunctionAndType) {
  for (const char* fields :
       {R"("size":125)", R"("size":2,"type":"U32")", R"("size":124,"type":"I64")", R"("function_code":1,"size":2000)",
        R"("function_code":2,"size":3,"type":"U64")", R"("size":7,"type":"STR")"}) {
    EXPECT_EQ(Code(fields), "none") << fields;
  }
  for (const char* fields :
       {R"("size":0)", R"("size":-1)", R"("size":126)", R"("size":1,"type":"U32")", R"("size":3,"type":"F32")",
        R"("size":6,"type":"U64")", R"("function_code":1,"size":2001)", R"("function_code":1,"size":0)"}) {
    EXPECT_EQ(Code(fields), "bad_size") << fields;
  }
}

TEST(ModbusRequest, SizeOfAWriteIsThatOfItsValues) {
  EXPECT_EQ(Request(R"("function_code":16,"type":"U32","values":[1,2])").size, 4);
  EXPECT_EQ(Code(R"("function_code":16,"type":"U32","size":4,"values":[1,2])"), "none");
  EXPECT_EQ(Code(R"("function_code":16,"type":"U32","size":2,"values":[1,2])"), "bad_size");
  EXPECT_EQ(Code(R"("function_code":16,"size":1,"values":[1,2])"), "bad_size");
  EXPECT_EQ(Code(R"("function_code":15,"size":3,"values":[1,0])"), "bad_size");
  const auto list = [](size_t count) {
    return absl::StrCat(R"("values":[)", absl::StrJoin(std::vector<int>(count), ","), "]");
  };
  EXPECT_EQ(Code(absl::StrCat(R"("function_code":16,)", list(123))), "none");
  EXPECT_EQ(Code(absl::StrCat(R"("function_code":16,)", list(124))), "bad_size");
  EXPECT_EQ(Code(absl::StrCat(R"("function_code":16,"type":"U64",)", list(31))), "bad_size");
  EXPECT_EQ(Code(absl::StrCat(R"("function_code":15,)", list(1968))), "none");
  EXPECT_EQ(Code(absl::StrCat(R"("function_code":15,)", list(1969))), "bad_size");
}

TEST(ModbusRequest, FunctionsFiveAndSixTakeOneValue) {
  EXPECT_THAT(Request(R"("function_code":5,"values":true)").words, ElementsAre(1));
  EXPECT_THAT(Request(R"("function_code":6,"values":[7])").words, ElementsAre(7));
  EXPECT_THAT(Request(R"("function_code":6,"type":"STR","values":"ab")").words, ElementsAre(0x6162));
  EXPECT_EQ(Code(R"("function_code":5,"values":[true,false])"), "bad_size");
  EXPECT_EQ(Code(R"("function_code":6,"values":[1,2])"), "bad_size");
  EXPECT_EQ(Code(R"("function_code":6,"type":"U32","values":1)"), "bad_size");
  EXPECT_EQ(Code(R"("function_code":6,"type":"STR","values":"abc")"), "bad_size");
}

TEST(ModbusRequest, CoilsAreTrueFalseOneOrZeroAndHaveNoType) {
  EXPECT_THAT(Request(R"("function_code":15,"values":[true,false,1,0],"type":"U32")").words, ElementsAre(1, 0, 1, 0));
  EXPECT_EQ(Code(R"("function_code":1,"type":"what")"), "none");
  for (const char* value : {"2", "-1", "0.5", "\"on\"", "[[1]]", "[null]", "{}"}) {
    EXPECT_EQ(Code(absl::StrCat(R"("function_code":15,"values":)", value)), "bad_values") << value;
  }
}

TEST(ModbusRequest, TypesAreThoseOfTheReference) {
  for (const char* type : {"U16", "I16", "U32", "I32", "U64", "I64", "F32", "STR"}) {
    EXPECT_EQ(Name(Request(absl::StrCat(R"("type":")", type, "\"")).type), type);
  }
  for (const char* type : {R"("u16")", R"("F64")", "\"\"", "16", "[]"}) {
    EXPECT_EQ(Code(absl::StrCat(R"("type":)", type)), "bad_type") << type;
  }
}

TEST(ModbusRequest, ValuesHaveToFitTheirType) {
  EXPECT_THAT(Written(R"("values":-2,"type":"I16")"), ElementsAre(0xFFFE));
  EXPECT_THAT(Written(R"("values":1,"type":"U32","endianess":"little")"), ElementsAre(1, 0));
  EXPECT_THAT(Written(R"("values":12.34,"scale_factor":0.01)"), ElementsAre(1234));
  EXPECT_THAT(Written(R"("values":1.5,"type":"F32")"), ElementsAre(0x3FC0, 0));
  for (const char* fields :
       {R"("values":65536)", R"("values":-1)", R"("values":[1,65536])", R"("values":32768,"type":"I16")",
        R"("values":1e40,"type":"F32")", R"("values":18446744073709551616,"type":"U64")",
        R"("values":-9223372036854775809,"type":"I64")", R"("values":7000,"scale_factor":0.1)",
        R"("values":1,"scale_factor":1e-300)"}) {
    EXPECT_EQ(Code(absl::StrCat(R"("function_code":16,)", fields)), "out_of_range") << fields;
  }
}

TEST(ModbusRequest, SixtyFourBitsAreExactAsNumberAndAsText) {
  for (const char* value : {"18446744073709551615", R"("18446744073709551615")"}) {
    EXPECT_THAT(Written(absl::StrCat(R"("type":"U64","values":)", value)), ElementsAre(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF));
  }
  for (const char* value : {"9007199254740993", R"("9007199254740993")"}) {
    EXPECT_THAT(Written(absl::StrCat(R"("type":"I64","values":)", value)), ElementsAre(0x20, 0, 0, 1)) << value;
  }
}

TEST(ModbusRequest, WhatIsNoValueIsRefused) {
  for (const char* fields :
       {R"("values":1.5)", R"("values":"1.5")", R"("values":"x")", R"("values":"nan","type":"F32")",
        R"("values":"inf","type":"F32")", R"("values":true)", R"("values":[1,null])", R"("values":{})",
        R"("values":[])", R"("values":[[1]])", R"("values":1,"type":"STR")", R"("values":["a","b"],"type":"STR")",
        R"("values":"","type":"STR")"}) {
    EXPECT_EQ(Code(absl::StrCat(R"("function_code":16,)", fields)), "bad_values") << fields;
  }
}

TEST(ModbusRequest, TextIsFilledUpToAGivenSize) {
  EXPECT_THAT(Written(R"("type":"STR","values":"ABC")"), ElementsAre(0x4142, 0x4300));
  EXPECT_THAT(Written(R"("type":"STR","values":["ABC"],"size":3)"), ElementsAre(0x4142, 0x4300, 0));
  EXPECT_THAT(Written(R"("type":"STR","values":"","size":1)"), ElementsAre(0));
  EXPECT_EQ(Code(R"("function_code":16,"type":"STR","values":"ABC","size":1)"), "out_of_range");
  const std::string too_long(247, 'x');
  EXPECT_EQ(Code(absl::StrCat(R"("function_code":16,"type":"STR","values":")", too_long, "\"")), "bad_size");
}

TEST(ModbusRequest, ForeignTextInAMessageIsShort) {
  const std::string junk(5000, 'y');
  EXPECT_LT(FailureIn(ParseModbusRequest(absl::StrCat("{\"", junk))).message.size(), 300u);
  EXPECT_LT(FailureIn(Parsed(absl::StrCat(R"("type":")", junk, "\""))).message.size(), 300u);
}

}  // namespace
}  // namespace fleet
