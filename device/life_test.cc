#include "device/life.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace fleet::device {
namespace {

class LifeTest : public testing::Test {
 protected:
  LifeTest() { std::filesystem::remove_all(dir_); }
  ~LifeTest() override { std::filesystem::remove_all(dir_); }

  uint32_t Live() const { return Life::Begin(dir_).value().epoch(); }
  void Damage(const std::string& text) const { std::ofstream(dir_ + "/epoch", std::ios::trunc) << text; }

  const std::string dir_ = testing::TempDir() + "/life_test_" +
                           testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(getpid());
};

TEST_F(LifeTest, EachLifeHasTheNextNumber) {
  EXPECT_EQ(Live(), 1);
  EXPECT_EQ(Live(), 2);
  EXPECT_EQ(Live(), 3);
}

TEST_F(LifeTest, ADamagedFileStartsAgainAtOne) {
  for (const char* damage : {"", "-3", "0", "twelve", "4294967295", "99999999999999999999999999999999999"}) {
    Live();
    Damage(damage);
    EXPECT_EQ(Live(), 1) << damage;
    EXPECT_EQ(Live(), 2) << damage;
  }
}

TEST_F(LifeTest, ADirectoryBelongsToOneAgent) {
  const auto first = Life::Begin(dir_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Life::Begin(dir_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(LifeTest, AnAgentThatCannotRememberLivesOn) {
  std::ofstream(dir_) << "a file, where the directory should be";
  const auto life = Life::Begin(dir_);
  ASSERT_TRUE(life.ok()) << life.status();
  EXPECT_EQ(life->epoch(), 1);
  EXPECT_FALSE(life->is_kept());
}

// A directory in the way of the temporary file stands for a full card.
TEST_F(LifeTest, AFullCardDoesNotGiveTwoLivesOneNumber) {
  EXPECT_EQ(Live(), 1);
  std::filesystem::create_directories(dir_ + "/epoch.new/x");
  for (uint32_t expected = 2; expected < 12; ++expected) {
    const auto life = Life::Begin(dir_);
    ASSERT_TRUE(life.ok()) << life.status();
    EXPECT_EQ(life->epoch(), expected);
    EXPECT_TRUE(life->is_kept());
  }
}

}  // namespace
}  // namespace fleet::device
