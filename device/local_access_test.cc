#include "device/local_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/temp_dir.h"

namespace fleet::device {
namespace {

using ::testing::HasSubstr;

v1::LocalApiConfig Listen(const std::string& listen, const std::string& token_file = "") {
  v1::LocalApiConfig config;
  config.set_listen(listen);
  config.set_token_file(token_file);
  return config;
}

TEST(LocalAccess, IsOffUnlessAsked) {
  EXPECT_EQ(ReadLocalAccess(Listen(""))->listen, "");
}

TEST(LocalAccess, APortAloneIsOnTheLoopbackAddress) {
  EXPECT_EQ(ReadLocalAccess(Listen("8081"))->listen, "127.0.0.1:8081");
}

TEST(LocalAccess, TheLoopbackAddressNeedsNoToken) {
  for (const char* listen : {"127.0.0.1:0", "127.1.2.3:80", "localhost:80", "[::1]:80"}) {
    EXPECT_EQ(ReadLocalAccess(Listen(listen))->listen, listen);
  }
}

TEST(LocalAccess, AnyOtherAddressNeedsOneAndThatIsSaidInOneLine) {
  for (const char* listen : {"0.0.0.0:80", "192.168.1.5:80", "[::]:80", "[fe80::1]:80", "example.org:80",
                             "127.0.0.1.example.org:80", "[::ffff:1.2.3.4]:80"}) {
    const absl::Status status = ReadLocalAccess(Listen(listen)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << listen;
    EXPECT_THAT(std::string(status.message()), HasSubstr("http.token_file")) << listen;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  }
  TempDir directory;
  const std::string file = directory.Write("token", "0123456789abcdef\n");
  EXPECT_EQ(ReadLocalAccess(Listen("0.0.0.0:80", file))->token, "0123456789abcdef");
}

TEST(LocalAccess, ATokenIsTheFirstLineOfItsFile) {
  TempDir directory;
  EXPECT_EQ(ReadLocalAccess(Listen("80", directory.Write("t", "0123456789abcdef\r\nmore\n")))->token,
            "0123456789abcdef");
  EXPECT_EQ(ReadLocalAccess(Listen("80", directory.Write("t", std::string(256, 'x'))))->token, std::string(256, 'x'));
}

TEST(LocalAccess, WhatIsNoTokenIsRefusedAndNotShown) {
  TempDir directory;
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string(15, 'x'), std::string(257, 'x'), std::string("0123456789abcde\t"),
        std::string("0123456789 abcdef"), std::string("0123456789abcde\xc3\xa9")}) {
    const absl::Status status = ReadLocalAccess(Listen("80", directory.Write("t", text))).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(status.message().find("0123"), absl::string_view::npos);
  }
  EXPECT_FALSE(ReadLocalAccess(Listen("80", directory.File("missing"))).ok());
}

TEST(LocalAccess, WhatIsNoAddressIsRefused) {
  for (const char* listen : {"nonsense", "127.0.0.1:", "127.0.0.1:http", ":"}) {
    EXPECT_EQ(ReadLocalAccess(Listen(listen)).status().code(), absl::StatusCode::kInvalidArgument) << listen;
  }
}

}  // namespace
}  // namespace fleet::device
