// fleetctl modbus.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;

constexpr char kPath[] = "/api/v1/devices/van-7/modbus";

class ModbusVerbTest : public FleetctlTest {
 protected:
  v1::CommandView Ended(const std::string& state, const std::string& reason, const std::string& detail,
                        const std::string& summary) const {
    v1::CommandView command = Command(6, state);
    command.set_device_id("van-7");
    command.set_entity_id(0);
    command.set_kind("modbus");
    command.set_summary(summary);
    command.set_reason(reason);
    command.mutable_steps(5)->set_reason(reason);
    command.mutable_steps(5)->set_detail(detail);
    return command;
  }
  // As the server answers: with a response that is not in the message.
  void Answer(const v1::CommandView& command, const std::string& response) {
    v1::ModbusAnswer answer;
    answer.set_command_id(command.command_id());
    answer.set_state(command.state());
    answer.set_success(command.state() == "done");
    *answer.mutable_command() = command;
    answer_ = absl::StrCat("{\"response\":", response, ",", ToJson(answer).substr(1));
    server_.On(kPath, [this](const HttpRequest& request) {
      asked_ = request.body;
      return HttpResponse{.status = 201, .body = answer_};
    });
  }
  void AnswerRead(const std::string& value) {
    const std::string response = absl::StrCat(R"({"success":true,"device_id":"meter","value":)", value, "}");
    Answer(Ended("done", "", response, "read holding 10056 of meter as U16"), response);
  }
  void Refuse(const std::string& state, const std::string& reason, const std::string& detail) {
    Answer(Ended(state, reason, detail, "write 170 to holding 33207 of meter"), "{\"success\":false}");
  }

  std::string answer_;
  std::string asked_;
};

TEST_F(ModbusVerbTest, AReadPrintsTheValueWithItsPlace) {
  AnswerRead("42");
  ASSERT_EQ(Run("modbus read van-7 meter 10056"), kDone) << err();
  EXPECT_EQ(out(), "meter 10056  42\n");
  EXPECT_EQ(err(), "");
}

TEST_F(ModbusVerbTest, ManyValuesAreALineEachWithTheAddressOfTheirFirstRegister) {
  AnswerRead("[1.5,null,-0.25]");
  ASSERT_EQ(Run("modbus read van-7 meter 10056 --type F32 --size 6"), kDone) << err();
  EXPECT_EQ(out(), "meter 10056  1.5\nmeter 10058  null\nmeter 10060  -0.25\n");
}

TEST_F(ModbusVerbTest, NumbersOf64BitsAreExactInBothFormats) {
  AnswerRead("18446744073709551615");
  ASSERT_EQ(Run("modbus read van-7 meter 10056 --type U64"), kDone) << err();
  EXPECT_EQ(out(), "meter 10056  18446744073709551615\n");
  ASSERT_EQ(Run("modbus read van-7 meter 10056 --type U64 --output json"), kDone);
  EXPECT_THAT(out(), EndsWith(answer_));
  EXPECT_THAT(answer_, HasSubstr("\"value\":18446744073709551615"));
}

TEST_F(ModbusVerbTest, TextOfAUnitDoesNotDriveTheTerminal) {
  AnswerRead(R"("a\u001b[2J")");
  ASSERT_EQ(Run("modbus read van-7 meter 10056 --type STR --size 3"), kDone) << err();
  EXPECT_EQ(out(), "meter 10056  a?[2J\n");
}

TEST_F(ModbusVerbTest, AWriteAsksForWhatWasSaidAndPrintsWhatIsThereNow) {
  const std::string response = R"({"success":true,"device_id":"meter","address":33207,"values":[170]})";
  Answer(Ended("done", "", response, "write 170 to holding 33207 of meter"), response);
  ASSERT_EQ(Run("modbus write van-7 meter 33207 170 --ttl 2s"), kDone) << err();
  EXPECT_EQ(out(), "meter 33207  170  written\n");
  v1::ModbusCallRequest asked;
  ASSERT_TRUE(FromJson(asked_, asked).ok()) << asked_;
  EXPECT_EQ(asked.ShortDebugString(),
            absl::StrCat("function_code: 6 device_id: \"meter\" address: 33207 type: \"U16\" endianess: \"big\" "
                         "values { number_value: 170 } ttl_ms: 2000 by: \"",
                         Asker(), "\""));
}

TEST_F(ModbusVerbTest, ADoneCommandWithoutWordsIsSaidToBeDone) {
  Answer(Ended("done", "", "", "write 170 to holding 33207 of meter"), "null");
  ASSERT_EQ(Run("modbus write van-7 meter 33207 170"), kDone);
  EXPECT_EQ(out(), "write 170 to holding 33207 of meter: done\n");
}

TEST_F(ModbusVerbTest, WhatIsRefusedSaysWhyAndWhatToDo) {
  Refuse("rejected", "not_allowed", "holding 33207 is in no list");
  EXPECT_EQ(Run("modbus write van-7 meter 33207 170"), kFailed);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err(),
            "fleetctl: van-7 did not write 170 to holding 33207 of meter: not_allowed: holding 33207 is in no list; "
            "[[modbus.write]] in the device's configuration says what may be written\n");
}

TEST_F(ModbusVerbTest, AReasonWithoutAdviceIsSaidAsItIs) {
  Refuse("failed", "exception_9", "new");
  EXPECT_EQ(Run("modbus write van-7 meter 33207 170"), kFailed);
  EXPECT_THAT(err(), EndsWith(": exception_9: new\n"));
}

TEST_F(ModbusVerbTest, NobodyClaimsToKnowWhatBecameOfAnUnknownWrite) {
  Refuse("unknown", "no_answer", "");
  EXPECT_EQ(Run("modbus write van-7 meter 33207 170"), kFailed);
  EXPECT_THAT(err(), AllOf(HasSubstr("nobody knows whether van-7 did write 170"),
                           HasSubstr("fleetctl command 17 --wait"), Not(HasSubstr("is the unit on"))));
}

TEST_F(ModbusVerbTest, OneThatHasNotEndedSaysHowToSeeTheEnd) {
  Refuse("running", "", "");
  EXPECT_EQ(Run("modbus write van-7 meter 33207 170"), kFailed);
  EXPECT_THAT(err(), HasSubstr("yet, it is running; what becomes of it: fleetctl command 17 --wait\n"));
}

TEST_F(ModbusVerbTest, InJsonTheAnswerHasTheReason) {
  Refuse("failed", "no_answer", "meter");
  EXPECT_EQ(Run("modbus write van-7 meter 33207 170 --output json"), kFailed);
  EXPECT_EQ(out(), answer_);
  EXPECT_EQ(err(), "");
}

TEST_F(ModbusVerbTest, WhatTheServerRefusesIsSaid) {
  server_.On(kPath, [](const HttpRequest&) {
    return ErrorResponse(absl::FailedPreconditionError("device van-7 is offline (lost); nothing was sent"));
  });
  EXPECT_EQ(Run("modbus read van-7 meter 1"), kFailed);
  EXPECT_EQ(err(), "fleetctl: device van-7 is offline (lost); nothing was sent\n");
}

}  // namespace
}  // namespace fleet
