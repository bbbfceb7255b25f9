#include "device/fail_safe.h"

#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

TEST(FailSafePolicies, AreReadFromTheirWords) {
  EXPECT_EQ(ParseFailSafePolicy("stop").value(), FailSafePolicy::kStop);
  EXPECT_EQ(ParseFailSafePolicy("finish_segment").value(), FailSafePolicy::kFinishSegment);
  EXPECT_EQ(ParseFailSafePolicy("continue").value(), FailSafePolicy::kContinue);
  EXPECT_FALSE(ParseFailSafePolicy("Stop").ok());
  EXPECT_FALSE(ParseFailSafePolicy("").ok());
}

TEST(FailSafePolicies, OfSingleEntitiesComeBeforeTheOneOfAll) {
  FailSafeOptions options{.policy = FailSafePolicy::kFinishSegment};
  options.entities = ParseEntityPolicies("2=continue, 3=stop").value();
  EXPECT_EQ(options.PolicyOf(EntityId{1}), FailSafePolicy::kFinishSegment);
  EXPECT_EQ(options.PolicyOf(EntityId{2}), FailSafePolicy::kContinue);
  EXPECT_EQ(options.PolicyOf(EntityId{3}), FailSafePolicy::kStop);
  EXPECT_TRUE(ParseEntityPolicies("").value().empty());
}

TEST(FailSafePolicies, AMistakeIsNamed) {
  EXPECT_EQ(ParseEntityPolicies("2=continue,x=stop").status().message(), "'x=stop' is not ENTITY=POLICY");
  EXPECT_EQ(ParseEntityPolicies("2").status().message(), "'2' is not ENTITY=POLICY");
  EXPECT_EQ(ParseEntityPolicies("0=stop").status().message(), "'0=stop' is not ENTITY=POLICY");
  EXPECT_EQ(ParseEntityPolicies("2=halt").status().message(), "'halt' is not stop, finish_segment or continue");
  EXPECT_EQ(ParseEntityPolicies("2=stop,2=stop").status().message(), "entity 2 is there twice");
}

class FailSafeTest : public testing::Test {
 protected:
  MonoTime now() const { return clock_.Read().mono; }

  FakeClock clock_;
  FailSafe fail_safe_{absl::Seconds(3), clock_.Read().mono};
};

TEST_F(FailSafeTest, BeginsWhenNoBeatEverCame) {
  EXPECT_EQ(fail_safe_.NextDue(), now() + absl::Seconds(3));
  clock_.Advance(absl::Milliseconds(2999));
  EXPECT_EQ(fail_safe_.Tick(now()), std::nullopt);
  EXPECT_FALSE(fail_safe_.on());
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(fail_safe_.Tick(now()), absl::Seconds(3));
  EXPECT_TRUE(fail_safe_.on());
}

TEST_F(FailSafeTest, BeginsOnceAndEndsWithABeat) {
  clock_.Advance(absl::Seconds(4));
  EXPECT_EQ(fail_safe_.Tick(now()), absl::Seconds(4));
  EXPECT_EQ(fail_safe_.NextDue(), MonoTime::Max());
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(fail_safe_.Tick(now()), std::nullopt);
  EXPECT_EQ(fail_safe_.Hear(now()), absl::Hours(1) + absl::Seconds(4));
  EXPECT_FALSE(fail_safe_.on());
  EXPECT_EQ(fail_safe_.Hear(now()), std::nullopt);
}

TEST_F(FailSafeTest, BeatsKeepItOffWhateverTheWallClockDoes) {
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Milliseconds(2999));
    clock_.JumpWall(absl::Hours(i % 2 == 0 ? 1 : -1));
    EXPECT_EQ(fail_safe_.Tick(now()), std::nullopt);
    EXPECT_EQ(fail_safe_.Hear(now()), std::nullopt);
  }
}

}  // namespace
}  // namespace fleet::device
