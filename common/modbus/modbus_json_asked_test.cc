#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/modbus/modbus_json.h"

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

TEST(AskedModbusJson, WhoAsksIsTakenOutAndTheRestStaysExact) {
  const auto asked = ParseAskedModbus(R"({"by":"ann@desk","values":[18446744073709551615,0.1],"address":7})");
  ASSERT_TRUE(std::holds_alternative<AskedModbus>(asked));
  EXPECT_EQ(std::get<AskedModbus>(asked).by, "ann@desk");
  EXPECT_EQ(std::get<AskedModbus>(asked).request, R"({"address":7,"values":[18446744073709551615,0.1]})");
}

TEST(AskedModbusJson, WithoutSomebodyWhoAsksTheTextStaysAsItCame) {
  for (const char* text : {R"( {"address" : 7} )", "[1]", "7"}) {
    const auto asked = ParseAskedModbus(text);
    ASSERT_TRUE(std::holds_alternative<AskedModbus>(asked)) << text;
    EXPECT_EQ(std::get<AskedModbus>(asked).request, text);
    EXPECT_EQ(std::get<AskedModbus>(asked).by, "");
  }
}

TEST(AskedModbusJson, WhatIsNoJsonOrNobodysNameIsRefused) {
  EXPECT_EQ(std::get<ModbusFailure>(ParseAskedModbus("{\"by\":")).code, "not_json");
  const auto number = ParseAskedModbus(R"({"by":7})");
  EXPECT_EQ(std::get<ModbusFailure>(number).code, "bad_request");
  EXPECT_THAT(std::get<ModbusFailure>(number).message, HasSubstr("\"by\""));
}

TEST(AskedModbusJson, ValuesForPeopleAreExact) {
  EXPECT_THAT(ModbusValueTexts(R"({"value":42})"), Optional(ElementsAre("42")));
  EXPECT_THAT(ModbusValueTexts(R"({"value":18446744073709551615,"data":[1]})"),
              Optional(ElementsAre("18446744073709551615")));
  EXPECT_THAT(ModbusValueTexts(R"({"value":[1.5,null,true]})"), Optional(ElementsAre("1.5", "null", "true")));
  EXPECT_THAT(ModbusValueTexts(R"({"values":["170"]})"), Optional(ElementsAre("170")));
  EXPECT_THAT(ModbusValueTexts(R"({"value":"a\u001bb"})"), Optional(ElementsAre("a\x1b"
                                                                                "b")));
}

TEST(AskedModbusJson, AResponseWithoutValuesHasNone) {
  for (const char* text : {"", "null", "[]", "{}", R"({"success":true})", "{"}) {
    EXPECT_EQ(ModbusValueTexts(text), std::nullopt) << text;
  }
}

TEST(AskedModbusJson, OnlyAWholeObjectIsOne) {
  EXPECT_TRUE(IsJsonObject(R"( {"a":[1]} )"));
  for (const char* text : {"", "[]", "7", "{}x", "{\"a\":}", "{\"a\":\"\xff\"}"})
    EXPECT_FALSE(IsJsonObject(text)) << text;
}

}  // namespace
}  // namespace fleet
