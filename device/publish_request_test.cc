#include "device/publish_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "engine/rpm=3500 sample=3500"
std::vector<std::string> FieldsOf(absl::string_view json) {
  const absl::StatusOr<PublishRequest> request = ParsePublishRequest(json);
  if (!request.ok()) return {request.status().ToString()};
  std::vector<std::string> texts;
  for (const PublishedField& field : request->fields) {
    texts.push_back(absl::StrCat(field.signal, "=", field.text, field.value ? " sample=" : "",
                                 !field.value               ? ""
                                 : std::isnan(*field.value) ? "NaN"
                                                            : absl::StrCat(*field.value)));
  }
  return texts;
}

std::string ErrorOf(absl::string_view json) {
  const absl::Status status = ParsePublishRequest(json).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json << " " << status;
  return std::string(status.message());
}

int64_t TimeOf(absl::string_view timestamp) {
  const auto request = ParsePublishRequest(absl::StrCat(R"({"timestamp":)", timestamp, R"(,"a/b":1})"));
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->at_unix_ms : -1;
}

TEST(PublishRequest, ObjectsAndSlashesNameTheSameSignal) {
  EXPECT_THAT(FieldsOf(R"({"engine":{"rpm":3500}})"), ElementsAre("engine/rpm=3500 sample=3500"));
  EXPECT_THAT(FieldsOf(R"({"engine/rpm":3500})"), ElementsAre("engine/rpm=3500 sample=3500"));
  EXPECT_THAT(FieldsOf(R"({"a":{"b":{"c":1,"d":2},"e":3},"f":{"g":4}})"),
              ElementsAre("a/b/c=1 sample=1", "a/b/d=2 sample=2", "a/e=3 sample=3", "f/g=4 sample=4"));
  EXPECT_THAT(FieldsOf(R"({"engine_rpm":1})"), ElementsAre("app/engine_rpm=1 sample=1"));
  EXPECT_THAT(FieldsOf("{}"), ElementsAre());
}

TEST(PublishRequest, EveryKindOfValueHasItsTextAndItsSample) {
  EXPECT_THAT(
      FieldsOf(
          R"({"a":-0.5,"b":true,"c":false,"d":null,"e":"half \u00bd \"on\"","f":"","g":9007199254740993,"h":1e3})"),
      ElementsAre("app/a=-0.5 sample=-0.5", "app/b=1 sample=1", "app/c=0 sample=0", "app/d=invalid sample=NaN",
                  "app/e=half ½ \"on\"", "app/f=", "app/g=9007199254740993 sample=9.0072e+15",
                  "app/h=1000 sample=1000"));
}

TEST(PublishRequest, TimestampIsRespectedInSecondsMillisecondsAndText) {
  EXPECT_EQ(TimeOf("1760000000"), 1'760'000'000'000);
  EXPECT_EQ(TimeOf("1760000000.25"), 1'760'000'000'250);
  EXPECT_EQ(TimeOf("1760000000123"), 1'760'000'000'123);
  EXPECT_EQ(TimeOf("99999999999"), 99'999'999'999'000);  // the last that is seconds
  EXPECT_EQ(TimeOf("100000000000"), 100'000'000'000);
  EXPECT_EQ(TimeOf(R"("2024-08-03T15:05:30.123456Z")"), 1'722'697'530'123);
  EXPECT_EQ(TimeOf(R"("2024-08-03T17:05:30+02:00")"), 1'722'697'530'000);
  EXPECT_EQ(TimeOf(R"("2024-08-03T15:05:30")"), 1'722'697'530'000);
  EXPECT_EQ(TimeOf(R"("1971-01-01T00:00:00Z")"), 31'536'000'000);
  EXPECT_EQ(ParsePublishRequest(R"({"a/b":1})")->at_unix_ms, 0);
}

TEST(PublishRequest, OnlyAtTheTopIsATimestampATime) {
  EXPECT_THAT(FieldsOf(R"({"app":{"timestamp":5}})"), ElementsAre("app/timestamp=5 sample=5"));
}

TEST(PublishRequest, WhatIsNoTimeIsRefused) {
  for (const char* timestamp : {"-1", "0", "1e300", "253402300800000", R"("yesterday")", R"("infinite-future")", "null",
                                "true", "{}", R"({"a":1})", R"("1969-12-31T23:59:59Z")", R"("")"}) {
    const std::string error = ErrorOf(absl::StrCat(R"({"a/b":1,"timestamp":)", timestamp, "}"));
    EXPECT_THAT(error, HasSubstr("'timestamp'")) << timestamp;
  }
  EXPECT_THAT(ErrorOf(R"({"timestamp":1,"timestamp":1})"), HasSubstr("twice"));
}

TEST(PublishRequest, BadJsonIsRefusedWithItsPlace) {
  EXPECT_THAT(ErrorOf(R"({"a/b":1,})"), HasSubstr("not JSON at byte 10, line 1, column 10: "));
  EXPECT_THAT(ErrorOf("{\n  \"a/b\": 1,\n  \"c/d\": x\n}"), HasSubstr("not JSON at byte 24, line 3, column 10: "));
  EXPECT_THAT(ErrorOf(R"({"a/b":1)"), HasSubstr("not JSON at byte 9, line 1, column 9: "));
  EXPECT_THAT(ErrorOf(R"({"a/b":1} x)"), HasSubstr("not JSON at byte 11, line 1, column 11: "));
  EXPECT_THAT(ErrorOf(R"({"a/b":1e999})"), HasSubstr("not JSON at byte 12, line 1, column 12: "));
  EXPECT_THAT(ErrorOf("{\"a/b\":\"\xff\"}"), HasSubstr("not JSON at byte 9"));
  EXPECT_THAT(ErrorOf("{\"a/b\":NaN}"), HasSubstr("not JSON at byte 8"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("not JSON at byte 1"));
}

TEST(PublishRequest, WhatIsNoObjectIsRefused) {
  for (const char* json : {"[]", "[{}]", "5", "null", "true", R"("text")", "1.5"}) {
    EXPECT_EQ(ErrorOf(json), "the body is not a JSON object") << json;
  }
}

TEST(PublishRequest, ABadFieldIsNamedAndNothingOfTheRestIsTaken) {
  EXPECT_THAT(ErrorOf(R"({"a":{"b":1,"c d":2}})"), HasSubstr("field 'a/c d' is no name"));
  EXPECT_THAT(ErrorOf(R"({"":1})"), HasSubstr("field '' is no name"));
  EXPECT_THAT(ErrorOf(R"({"":{"a":1}})"), HasSubstr("field '/a' is no name"));
  EXPECT_THAT(ErrorOf(R"({"a/":{"b":1}})"), HasSubstr("field 'a//b' is no name"));
  EXPECT_THAT(ErrorOf(R"({"\u00e9\n":1})"), HasSubstr(R"(field '\xc3\xa9\n' is no name)"));
  EXPECT_THAT(ErrorOf(absl::StrCat(R"({")", std::string(200, 'x'), R"(":1})")), HasSubstr("is no name"));
  EXPECT_THAT(ErrorOf(R"({"a":1,"b":[1]})"), HasSubstr("field 'b' is a list"));
  EXPECT_THAT(ErrorOf(R"({"gateway/uptime":1})"), HasSubstr("field 'gateway/uptime' is in a group of the agent's own"));
  EXPECT_THAT(ErrorOf(R"({"can":{"x":{"rx":1}}})"), HasSubstr("field 'can/x/rx' is in a group"));
  EXPECT_THAT(ErrorOf(R"({"a/b":1,"a":{"b":2}})"), HasSubstr("field 'a/b' is there twice"));
  EXPECT_THAT(ErrorOf(R"({"b":1,"app/b":2})"), HasSubstr("field 'app/b' is there twice"));
  EXPECT_THAT(ErrorOf(R"({"a":"tab\there"})"), HasSubstr("field 'a' has control characters"));
  EXPECT_THAT(ErrorOf(absl::StrCat(R"({"a":")", std::string(257, 'x'), R"("})")), HasSubstr("field 'a' is longer"));
  EXPECT_EQ(FieldsOf(absl::StrCat(R"({"a":")", std::string(256, 'x'), R"("})")).size(), 1u);
}

TEST(PublishRequest, DepthSizeAndCountAreBounded) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += R"({"a":)";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("is longer than any signal's name"));
  const std::string padding(PublishRequest::kMaxBytes - 2, ' ');
  EXPECT_TRUE(ParsePublishRequest("{" + padding + "}").ok());
  EXPECT_EQ(ParsePublishRequest("{ " + padding + "}").status().code(), absl::StatusCode::kOutOfRange);
  std::string many = "{";
  for (size_t i = 0; i < PublishRequest::kMaxFields; ++i) absl::StrAppend(&many, "\"", i, "\":1,");
  EXPECT_EQ(FieldsOf(many.substr(0, many.size() - 1) + "}").size(), PublishRequest::kMaxFields);
  EXPECT_EQ(ParsePublishRequest(many + "\"x\":1}").status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace fleet::device
