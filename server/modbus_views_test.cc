#include "server/modbus_views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/testing/modbus_messages.h"
#include "server/testing/sample_rows.h"
#include "server/views.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string SummaryOf(const std::string& fields) {
  return Summary(CallOf(absl::StrCat(R"({"device_id":"meter",)", fields, "}")));
}

TEST(ModbusViews, ACallIsSummedUpByWhatItDoesWhere) {
  EXPECT_EQ(Summary(CallOf(kModbusRead)), "read holding 10056 of meter as F32");
  EXPECT_EQ(SummaryOf(R"("address":8,"type":"F32","size":4)"), "read input 8..11 of meter as F32");
  EXPECT_EQ(Summary(CallOf(kModbusWrite)), "write 170 to holding 33207 of meter");
  EXPECT_EQ(SummaryOf(R"("address":0)"), "read input 0 of meter as U16");
  EXPECT_EQ(SummaryOf(R"("address":8,"function_code":1,"size":8)"), "read coil 8..15 of meter");
  EXPECT_EQ(SummaryOf(R"("address":8,"function_code":2)"), "read discrete input 8 of meter");
  EXPECT_EQ(SummaryOf(R"("address":8,"function_code":5,"values":true)"), "write true to coil 8 of meter");
  EXPECT_EQ(SummaryOf(R"("address":7,"function_code":16,"values":[1,2])"), "write [1,2] to holding 7..8 of meter");
  EXPECT_EQ(SummaryOf(R"("address":8)"
                      ",\"function_code\":9"),
            "ask for nothing valid");
}

TEST(ModbusViews, ManyValuesAreSummedUpByTheirNumber) {
  std::string values = "10000";
  for (int i = 0; i < 20; ++i) values += ",10000";
  EXPECT_EQ(SummaryOf(absl::StrCat(R"("address":0,"function_code":16,"values":[)", values, "]")),
            "write 21 words to holding 0..20 of meter");
}

TEST(ModbusViews, ACommandShowsItsKindAndWhoAsked) {
  CommandRow row = SampleCommand(7, 1);
  row.body = CallOf(kModbusWrite, "ann@desk");
  const v1::CommandView view = ViewOf(row, {}, "a");
  EXPECT_EQ(view.kind(), "modbus");
  EXPECT_EQ(view.by(), "ann@desk");
  EXPECT_EQ(view.summary(), "write 170 to holding 33207 of meter");
}

TEST(ModbusViews, TheBodyBecomesACallWithoutWhoAsked) {
  const auto order = ModbusOrderOf(R"({"device_id":"meter","address":7,"ttl_ms":1500,"by":"ann@desk"})");
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(order->call.by(), "ann@desk");
  EXPECT_THAT(order->call.request(), Not(HasSubstr("ann")));
  EXPECT_EQ(order->ttl, absl::Milliseconds(1500));
  EXPECT_EQ(Summary(order->call), "read input 7 of meter as U16");
}

TEST(ModbusViews, ACallLivesFiveSecondsUnlessItSays) {
  const auto order = ModbusOrderOf(kModbusRead);
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(order->ttl, absl::Seconds(5));
  EXPECT_EQ(order->call.request(), kModbusRead) << "as it came";
}

v1::CommandView Ended(const std::string& state, const std::string& reason, const std::string& detail) {
  v1::CommandView command;
  command.set_command_id("17");
  command.set_state(state);
  command.set_reason(reason);
  v1::CommandStepView& step = *command.add_steps();
  step.set_state(state);
  step.set_detail(detail);
  return command;
}

TEST(ModbusViews, AnAnswerHasWhatTheDeviceAnsweredByteForByte) {
  const std::string response = R"({"success":true,"value":18446744073709551615,"data":[9007199254740993]})";
  const std::string json = ModbusAnswerJson(Ended("done", "", response));
  EXPECT_THAT(json, HasSubstr(absl::StrCat(R"({"command_id":"17","state":"done","success":true,"response":)", response,
                                           R"(,"command":{"command_id":"17")")));
  EXPECT_EQ(json.back(), '\n');
}

TEST(ModbusViews, WhatFailedIsAnErrorWithReasonAndDetail) {
  EXPECT_THAT(ModbusAnswerJson(Ended("rejected", "not_allowed", "no \"write\" has it")),
              HasSubstr(R"("success":false,"response":{"success":false,"error":{"code":"not_allowed",)"
                        R"("message":"no \"write\" has it"}},)"));
}

TEST(ModbusViews, ADeviceThatIsNotHeardIsNoUnitThatDoesNotAnswer) {
  const std::string json = ModbusAnswerJson(Ended("unknown", "no_answer", ""));
  EXPECT_THAT(json, HasSubstr(R"("error":{"code":"unknown")"));
  EXPECT_THAT(json, HasSubstr("no_answer"));
}

TEST(ModbusViews, WithoutAnAnswerTheResponseIsNull) {
  EXPECT_THAT(ModbusAnswerJson(Ended("running", "", "")), HasSubstr(R"("success":false,"response":null)"));
  EXPECT_THAT(ModbusAnswerJson(Ended("done", "", "{broken")), HasSubstr(R"("success":true,"response":null)"));
}

}  // namespace
}  // namespace fleet::server
