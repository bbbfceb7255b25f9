#include "server/modbus_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "server/testing/modbus_messages.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

void ExpectRefused(const v1::ModbusCall& call, const std::string& why) {
  const absl::Status status = Check(call);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << call.request();
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(ModbusOrders, GoodOnesAreTaken) {
  EXPECT_TRUE(Check(CallOf(kModbusRead)).ok());
  EXPECT_TRUE(Check(CallOf(kModbusWrite, "ann@desk")).ok());
}

TEST(ModbusOrders, ARequestThatIsNoneIsRefusedWithItsCodeAndWhatIsWrong) {
  ExpectRefused(CallOf(""), "not_json: ");
  ExpectRefused(CallOf("[3]"), "not_json: ");
  ExpectRefused(CallOf(R"({"device_id":"meter"})"), "address");
  ExpectRefused(CallOf(R"({"device_id":"meter","address":1,"function_code":7})"), "bad_function: ");
}

TEST(ModbusOrders, ARequestIsAtMost4096Bytes) {
  std::string request(kModbusRead);
  request.insert(1, 4096 - request.size(), ' ');
  EXPECT_TRUE(Check(CallOf(request)).ok());
  const absl::Status status = Check(CallOf(request + " "));
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("too_large: "));
}

TEST(ModbusOrders, WhoAsksIsShortAndPrintable) {
  EXPECT_TRUE(Check(CallOf(kModbusRead, std::string(64, 'x'))).ok());
  for (const std::string& by : {std::string(65, 'x'), std::string("a\nb"), std::string("\xc3\xbc")}) {
    ExpectRefused(CallOf(kModbusRead, by), "printable ASCII");
  }
}

}  // namespace
}  // namespace fleet::server
