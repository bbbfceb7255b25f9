#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/testing/api_fixture.h"
#include "server/testing/modbus_messages.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/api/v1/devices/a/modbus";

class ApiModbusTest : public ApiTest {
 protected:
  ApiModbusTest() { BringOnline("a"); }

  std::future<HttpProbeResult> PostAsync(const std::string& path, const std::string& body) {
    return std::async(std::launch::async, [=, this] { return Post(path, body); });
  }
  // The command that a request under way has given, sent to its device.
  CommandId Given() {
    while (OpenCommands() == 0) {
    }
    return NewestCommand();
  }
  void End(CommandId id, v1::CommandState state, const std::string& reason, const std::string& detail) {
    OnLoop([=, this] {
      v1::CommandReport report;
      report.set_epoch(1);
      v1::CommandUpdate& update = *report.add_updates();
      update.set_command_id(Number(id));
      update.set_state(state);
      update.set_reason(reason);
      update.set_detail(detail);
      fleet_->Apply(CommandReportEvent{"a", &report});
    });
  }
};

TEST_F(ApiModbusTest, TheAnswerComesInTheSameCall) {
  auto answer = PostAsync(kPath, kModbusRead);
  const std::string response = R"({"success":true,"register":10056,"value":18446744073709551615})";
  End(Given(), v1::COMMAND_STATE_DONE, "", response);
  const HttpProbeResult result = answer.get();
  EXPECT_EQ(result.status, 201);
  EXPECT_THAT(result.body, HasSubstr(absl::StrCat(R"("state":"done","success":true,"response":)", response, ",")));
  EXPECT_THAT(result.body, HasSubstr(R"("summary":"read holding 10056 of meter as F32","kind":"modbus")"));
}

TEST_F(ApiModbusTest, SoDoesTheReason) {
  auto answer = PostAsync(kPath, kModbusWrite);
  End(Given(), v1::COMMAND_STATE_REJECTED, "not_allowed", "holding 33207");
  const HttpProbeResult result = answer.get();
  EXPECT_EQ(result.status, 201) << "it is a command, and stays one";
  EXPECT_THAT(result.body, HasSubstr(R"("response":{"success":false,"error":{"code":"not_allowed",)"
                                     R"("message":"holding 33207"}})"));
}

TEST_F(ApiModbusTest, ACommandHasWhatWasAskedAndWhoDid) {
  auto answer = PostAsync(kPath, R"({"device_id":"meter","address":7,"ttl_ms":1500,"by":"ann@desk"})");
  const CommandId id = Given();
  OnLoop([&] {
    const CommandRow& row = fleet_->state.commands().Find(id)->row;
    const auto& call = std::get<v1::ModbusCall>(row.body);
    EXPECT_EQ(call.by(), "ann@desk");
    EXPECT_THAT(call.request(), ::testing::Not(HasSubstr("ann")));
    EXPECT_EQ(row.ttl_ms, 1500);
  });
  End(id, v1::COMMAND_STATE_DONE, "", R"({"success":true})");
  EXPECT_EQ(answer.get().status, 201);
}

TEST_F(ApiModbusTest, ADeviceThatFallsSilentIsSaidToBeUnknown) {
  auto answer = PostAsync(kPath, kModbusRead);
  Given();
  PassTimeUntil(answer);
  const HttpProbeResult result = answer.get();
  EXPECT_EQ(result.status, 201);
  EXPECT_THAT(result.body, HasSubstr(R"("state":"unknown","success":false)"));
  EXPECT_THAT(result.body, HasSubstr(R"("error":{"code":"unknown")"));
}

TEST_F(ApiModbusTest, WhoDoesNotWaitForTheEndGetsTheCommand) {
  auto answer = PostAsync(absl::StrCat(kPath, "?wait=accepted"), kModbusRead);
  const CommandId id = Given();
  Ack(id, v1::COMMAND_STATE_ACCEPTED);
  EXPECT_THAT(answer.get().body, HasSubstr(R"("state":"accepted","success":false,"response":null)"));
}

TEST_F(ApiModbusTest, WhoLosesPatienceGetsTheCommandAsItIs) {
  auto answer = PostAsync(absl::StrCat(kPath, "?timeout_ms=300"), kModbusRead);
  Given();
  PassTimeUntil(answer);
  const HttpProbeResult result = answer.get();
  EXPECT_EQ(result.status, 201) << result.body;
  EXPECT_THAT(result.body, HasSubstr(R"("state":"sent","success":false,"response":null)"));
}

TEST_F(ApiModbusTest, WhatIsWrongIsSaidAndNothingIsSent) {
  ExpectError(Post(kPath, ""), 400, "INVALID_ARGUMENT", "not_json: ");
  ExpectError(Post(kPath, R"({"device_id":)"), 400, "INVALID_ARGUMENT", "column 14");
  ExpectError(Post(kPath, "{}"), 400, "INVALID_ARGUMENT", "bad_request: ");
  ExpectError(Post(kPath, R"({"device_id":"meter"})"), 400, "INVALID_ARGUMENT", "address");
  ExpectError(Post(kPath, R"({"device_id":"meter","address":65536})"), 400, "INVALID_ARGUMENT", "bad_address: ");
  ExpectError(Post(kPath, R"({"device_id":"meter","address":1,"by":7})"), 400, "INVALID_ARGUMENT", "\"by\"");
  ExpectError(Post(kPath, R"({"device_id":"meter","address":1,"by":"a\nb"})"), 400, "INVALID_ARGUMENT", "printable");
  ExpectError(Post(kPath, R"({"device_id":"meter","address":1,"ttl_ms":1})"), 400, "INVALID_ARGUMENT", "ttl");
  ExpectError(Post(absl::StrCat(kPath, "?wait=never"), kModbusRead), 400, "INVALID_ARGUMENT", "?wait=never");
  ExpectError(Post(kPath, std::string(5000, ' ') + kModbusRead), 413, "OUT_OF_RANGE", "too_large: ");
  ExpectError(Post("/api/v1/devices/b/modbus", kModbusRead), 404, "NOT_FOUND", "no device b");
  OnLoop([this] { health_.set_store("disk full"); });
  ExpectError(Post(kPath, kModbusRead), 503, "UNAVAILABLE", "disk full");
  EXPECT_EQ(OpenCommands(), 0u);
}

TEST_F(ApiModbusTest, ADeviceThatIsOfflineIsNotAsked) {
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  ExpectError(Post(kPath, kModbusRead), 409, "FAILED_PRECONDITION", "offline (clean)");
}

}  // namespace
}  // namespace fleet::server
