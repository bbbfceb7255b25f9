#include "tools/fleetctl/asker.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

TEST(Asker, IsUserAndHost) {
  EXPECT_EQ(AskerOf("ann", "desk"), "ann@desk");
  EXPECT_NE(Asker().find('@'), std::string::npos);
}

TEST(Asker, IsWhatTheServerTakes) {
  EXPECT_EQ(AskerOf("an n\x1b", "d\xC3\xA4sk"), "an?n?@d??sk");
  const std::string longest = AskerOf(std::string(100, 'u'), std::string(100, 'h'));
  EXPECT_EQ(longest, std::string(32, 'u') + "@" + std::string(31, 'h'));
}

}  // namespace
}  // namespace fleet
