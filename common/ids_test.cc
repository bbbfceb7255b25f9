#include "common/ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/hash/hash.h"

namespace fleet {
namespace {

TEST(DeviceId, TakesOneToSixtyFourOfItsCharacters) {
  for (const std::string& text :
       {std::string("a"), std::string("pi-01"), std::string("A.b_C-9"), std::string(64, 'x')}) {
    const absl::StatusOr<DeviceId> id = DeviceId::Parse(text);
    ASSERT_TRUE(id.ok()) << text;
    EXPECT_EQ(id->str(), text);
    EXPECT_EQ(id->view(), text);
  }
}

TEST(DeviceId, RefusesTheRestAndShowsItEscapedAndCut) {
  for (const std::string& text : {std::string(""), std::string(65, 'x'), std::string("a/b"), std::string("a b"),
                                  std::string("a+"), std::string("#"), std::string("\xc3\xa4"), std::string(1, '\0')}) {
    EXPECT_EQ(DeviceId::Parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  const absl::StatusOr<DeviceId> long_id = DeviceId::Parse(std::string(5000, '\n'));
  EXPECT_LT(long_id.status().message().size(), 300u);
  EXPECT_EQ(long_id.status().message().find('\n'), absl::string_view::npos);
}

TEST(DeviceId, ComparesAndHashesByItsText) {
  const DeviceId a = *DeviceId::Parse("a"), also_a = *DeviceId::Parse("a"), ab = *DeviceId::Parse("ab");
  EXPECT_EQ(a, also_a);
  EXPECT_FALSE(a == ab);
  EXPECT_LT(a, ab);
  EXPECT_FALSE(ab < a);
  EXPECT_EQ(absl::Hash<DeviceId>()(a), absl::Hash<DeviceId>()(also_a));
}

}  // namespace
}  // namespace fleet
