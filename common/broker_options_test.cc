#include "common/broker_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config.h"
#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using ::testing::HasSubstr;

v1::BrokerConfig Defaults() {
  v1::BrokerConfig config;
  ApplyDefaults(config);
  return config;
}

TEST(BrokerOptions, EveryKeyArrives) {
  v1::BrokerConfig config = Defaults();
  config.set_url("tcp://10.0.0.1:1884");
  config.set_username("pi");
  ASSERT_TRUE(ApplyValue("keepalive", "7s", config).ok());
  ASSERT_TRUE(ApplyValue("reconnect_min", "1s", config).ok());
  ASSERT_TRUE(ApplyValue("reconnect_max", "3s", config).ok());
  const auto options = ToLinkOptions(config);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->url, "tcp://10.0.0.1:1884");
  EXPECT_EQ(options->username, "pi");
  EXPECT_EQ(options->password, "");
  EXPECT_EQ(options->keepalive, absl::Seconds(7));
  EXPECT_EQ(options->reconnect_min, absl::Seconds(1));
  EXPECT_EQ(options->reconnect_max, absl::Seconds(3));
  EXPECT_FALSE(options->will.has_value());
}

TEST(BrokerOptions, AUrlThatIsNoneIsRefusedByItsKey) {
  v1::BrokerConfig config = Defaults();
  config.set_url("127.0.0.1");
  const absl::Status status = ToLinkOptions(config).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("broker.url"));
}

TEST(BrokerOptions, ThePasswordIsTheFirstLineOfItsFile) {
  const TempDir dir;
  v1::BrokerConfig config = Defaults();
  for (const char* text : {"a secret ", "a secret \n", "a secret \nnot this\n", "a secret \r\n"}) {
    config.set_password_file(dir.Write("password", text));
    const auto options = ToLinkOptions(config);
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->password, "a secret ");
  }
}

TEST(BrokerOptions, APasswordFileWithoutAPasswordIsRefusedByKeyAndPath) {
  const TempDir dir;
  v1::BrokerConfig config = Defaults();
  for (const std::string& path : {dir.File("none"), dir.Write("empty", ""), dir.Write("blank", "\nsecret\n")}) {
    config.set_password_file(path);
    const absl::Status status = ToLinkOptions(config).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("broker.password_file"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
}

TEST(BrokerOptions, UserInTheAddressIsRefusedAndNotRepeated) {
  v1::BrokerConfig config = Defaults();
  config.set_url("tcp://van:hunter2@10.0.0.1:1884");
  const absl::Status status = ToLinkOptions(config).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr("broker.username"), testing::Not(testing::HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace fleet
