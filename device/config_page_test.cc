#include "device/config_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleet::device {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ConfigPage, HasEveryKeyWithItsName) {
  v1::DeviceConfig config;
  config.set_id("pi-1");
  config.mutable_heartbeat_period()->set_nanos(500'000'000);
  config.mutable_can()->add_bus()->set_listen_only(true);
  const std::string page = ConfigPage(config);
  EXPECT_THAT(page, HasSubstr("\"id\":\"pi-1\""));
  EXPECT_THAT(page, HasSubstr("\"heartbeat_period\":\"0.500s\""));
  EXPECT_THAT(page, HasSubstr("\"listen_only\":true"));
  EXPECT_THAT(page, HasSubstr("\"state_rate_hz\":0"));
}

TEST(ConfigPage, NamesFilesOfSecretsAndHidesUsersInAddresses) {
  v1::DeviceConfig config;
  config.mutable_broker()->set_url("tcp://van:hunter2@broker:1883");
  config.mutable_broker()->set_password_file("/etc/fleet/password");
  config.mutable_http()->set_token_file("/etc/fleet/token");
  config.mutable_modbus()->add_bus()->set_interface("http://admin:hunter2@10.0.0.7:5000");
  const std::string page = ConfigPage(config);
  EXPECT_THAT(page, Not(HasSubstr("hunter2")));
  EXPECT_THAT(page, HasSubstr("\"tcp://broker:1883\""));
  EXPECT_THAT(page, HasSubstr("\"http://10.0.0.7:5000\""));
  EXPECT_THAT(page, HasSubstr("/etc/fleet/password"));
  EXPECT_THAT(page, HasSubstr("/etc/fleet/token"));
}

TEST(ConfigPage, OnlyAddressesLoseTheirUser) {
  EXPECT_EQ(WithoutUser("http://a:b@c:1/d"), "http://c:1/d");
  EXPECT_EQ(WithoutUser("http://a:b/c@d"), "http://d");  // a password with a / in it
  EXPECT_EQ(WithoutUser("http://a@b@c"), "http://c");
  for (const char* text : {"", "tcp://broker:1883", "a@b", "x@tcp://y", "rtu:/dev/ttyUSB0"}) {
    EXPECT_EQ(WithoutUser(text), text);
  }
}

}  // namespace
}  // namespace fleet::device
