#include "device/simulated_driver.h"

#include <gtest/gtest.h>

#include <limits>

#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

class SimulatedDriverTest : public testing::Test {
 protected:
  struct Ends {
    int32_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    int32_t v0 = 0, v1 = 0;
  };
  // Returns how long it will take.
  absl::Duration Start(v1::SegmentType type, const Ends& ends) {
    v1::Segment& s = order_.segment;
    s.set_type(type);
    s.set_start_x_mm(ends.x0);
    s.set_start_y_mm(ends.y0);
    s.set_end_x_mm(ends.x1);
    s.set_end_y_mm(ends.y1);
    s.set_start_speed_mm_s(ends.v0);
    s.set_end_speed_mm_s(ends.v1);
    return driver_.Start(order_, now(), effects_).value() - now();
  }
  MonoTime now() const { return clock_.Read().mono; }
  Pose pose() const { return driver_.PoseAt(now()).value(); }

  FakeClock clock_;
  SegmentOrder order_;
  Effects effects_;
  SimulatedDriver driver_;
};

TEST_F(SimulatedDriverTest, StandsAtItsStartBeforeTheFirstSegment) {
  EXPECT_EQ(pose(), Pose{});
}

TEST_F(SimulatedDriverTest, LineAtConstantSpeed) {
  EXPECT_EQ(Start(v1::SEGMENT_TYPE_LINE, {.x1 = 3000, .y1 = 4000, .v0 = 500, .v1 = 500}), absl::Seconds(10));
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(pose(), (Pose{.x_mm = 1500, .y_mm = 2000, .angle_mdeg = 53130, .vx_mm_s = 300, .vy_mm_s = 400}));
}

TEST_F(SimulatedDriverTest, LineWithConstantAcceleration) {
  EXPECT_EQ(Start(v1::SEGMENT_TYPE_LINE, {.x0 = -100, .x1 = 900, .v0 = 0, .v1 = 200}), absl::Seconds(10));
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(pose().x_mm, -100 + 250);
  EXPECT_EQ(pose().vx_mm_s, 100);
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(pose().x_mm, 900);
  EXPECT_EQ(pose().vx_mm_s, 200);
}

TEST_F(SimulatedDriverTest, StopsAtItsEndHoweverLateItIsLookedAt) {
  Start(v1::SEGMENT_TYPE_LINE, {.x1 = 1000, .v0 = 100, .v1 = 100});
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(pose().x_mm, 1000);
  driver_.Stop(order_, now(), effects_);
  EXPECT_EQ(pose(), (Pose{.x_mm = 1000}));
}

TEST_F(SimulatedDriverTest, LeftArcRunsCounterClockwise) {
  // From (0,0) to (0,2000) turning left: out to the right, over (1000,1000).
  const absl::Duration takes = Start(v1::SEGMENT_TYPE_ARC_LEFT, {.y1 = 2000, .v0 = 100, .v1 = 100});
  EXPECT_NEAR(absl::ToDoubleSeconds(takes), 31.416, 0.001);
  EXPECT_EQ(pose(), (Pose{.x_mm = 0, .y_mm = 0, .angle_mdeg = 0, .vx_mm_s = 100, .vy_mm_s = 0}));
  clock_.Advance(takes / 2);
  EXPECT_EQ(pose(), (Pose{.x_mm = 1000, .y_mm = 1000, .angle_mdeg = 90'000, .vx_mm_s = 0, .vy_mm_s = 100}));
  clock_.Advance(takes / 2 + absl::Nanoseconds(1));
  EXPECT_EQ(pose(), (Pose{.x_mm = 0, .y_mm = 2000, .angle_mdeg = 180'000, .vx_mm_s = -100, .vy_mm_s = 0}));
}

TEST_F(SimulatedDriverTest, RightArcRunsClockwise) {
  const absl::Duration takes = Start(v1::SEGMENT_TYPE_ARC_RIGHT, {.y1 = 2000, .v0 = 100, .v1 = 100});
  clock_.Advance(takes / 2);
  EXPECT_EQ(pose(), (Pose{.x_mm = -1000, .y_mm = 1000, .angle_mdeg = 90'000, .vx_mm_s = 0, .vy_mm_s = 100}));
}

TEST_F(SimulatedDriverTest, HoldStandsAtItsStart) {
  EXPECT_EQ(driver_.Start(order_, now(), effects_).ok(), true);
  Start(v1::SEGMENT_TYPE_LINE, {.x1 = 1000, .v0 = 100, .v1 = 100});
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Start(v1::SEGMENT_TYPE_HOLD, {.x0 = 70, .y0 = -80}), MonoTime::Max() - now());
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(pose(), (Pose{.x_mm = 70, .y_mm = -80}));
}

TEST_F(SimulatedDriverTest, ALineWithoutLengthIsDoneAtOnce) {
  EXPECT_EQ(Start(v1::SEGMENT_TYPE_LINE, {.x0 = 5, .x1 = 5, .v0 = 1, .v1 = 1}), absl::ZeroDuration());
  EXPECT_EQ(pose().x_mm, 5);
  EXPECT_EQ(Start(v1::SEGMENT_TYPE_ARC_LEFT, {.x0 = 5, .x1 = 5, .v0 = 1, .v1 = 1}), absl::ZeroDuration());
  EXPECT_EQ(pose().x_mm, 5);
}

TEST_F(SimulatedDriverTest, TheLargestNumbersOverflowNothing) {
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min();
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  for (const auto type : {v1::SEGMENT_TYPE_LINE, v1::SEGMENT_TYPE_ARC_LEFT, v1::SEGMENT_TYPE_ARC_RIGHT}) {
    Start(type, {.x0 = kMin, .y0 = kMax, .x1 = kMax, .y1 = kMin, .v0 = kMax, .v1 = kMax});
    clock_.Advance(absl::Seconds(1));
    EXPECT_GE(pose().x_mm, kMin);
    EXPECT_EQ(Start(type, {.x0 = kMin, .y0 = kMax, .x1 = kMax, .y1 = kMin, .v1 = 1}), MonoTime::Max() - now());
  }
}

}  // namespace
}  // namespace fleet::device
