#include "device/segment_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <variant>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"
#include "device/external_driver.h"
#include "device/simulated_driver.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Entities 1 and 2 are simulated, 9 is external.
std::vector<DrivenEntity> MakeEntities() {
  std::vector<DrivenEntity> entities;
  entities.push_back({EntityId{1}, std::make_unique<SimulatedDriver>()});
  entities.push_back({EntityId{2}, std::make_unique<SimulatedDriver>()});
  entities.push_back({EntityId{9}, std::make_unique<ExternalDriver>()});
  return entities;
}

class SegmentExecutorTest : public testing::Test {
 protected:
  // A line of 2 s.
  SegmentOrder Order(uint64_t command, uint32_t entity, v1::SegmentType type = v1::SEGMENT_TYPE_LINE) {
    SegmentOrder order{
        .command = CommandId{command}, .entity = EntityId{entity}, .expires_at = now() + absl::Seconds(5)};
    order.segment.set_entity_id(entity);
    order.segment.set_type(type);
    order.segment.set_end_x_mm(1000);
    order.segment.set_start_speed_mm_s(500);
    order.segment.set_end_speed_mm_s(500);
    return order;
  }
  void Start(const SegmentOrder& order) { executor_.Start(order, now(), updates_, effects_); }
  void Run(absl::Duration time) {
    const MonoTime until = now() + time;
    while (executor_.NextDue() <= until) {
      clock_.Advance(executor_.NextDue() - now());
      executor_.Tick(now(), updates_, effects_);
    }
    clock_.Advance(until - now());
  }
  MonoTime now() const { return clock_.Read().mono; }

  // "7:running 8:rejected(no_controller)", and forgets them.
  std::string Steps() {
    std::string text;
    for (const v1::CommandUpdate& u : updates_) {
      absl::StrAppend(&text, text.empty() ? "" : " ", u.command_id(), ":", v1::CommandState_Name(u.state()).substr(14));
      if (!u.reason().empty()) absl::StrAppend(&text, "(", u.reason(), ")");
    }
    updates_.clear();
    return text;
  }

  FakeClock clock_;
  SegmentExecutor executor_{MakeEntities()};
  SegmentExecutor::Updates updates_;
  Effects effects_;
};

TEST_F(SegmentExecutorTest, ASegmentRunsToItsEnd) {
  Start(Order(7, 1));
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING");
  Run(absl::Milliseconds(1999));
  EXPECT_EQ(Steps(), "");
  Run(absl::Milliseconds(1));
  EXPECT_EQ(Steps(), "7:DONE");
  EXPECT_EQ(executor_.NextDue(), MonoTime::Max());
  EXPECT_EQ(executor_.entities()[0].driver->PoseAt(now())->x_mm, 1000);
}

TEST_F(SegmentExecutorTest, TheNewestReplacesTheOneThatRuns) {
  Start(Order(7, 1));
  Run(absl::Seconds(1));
  Steps();
  Start(Order(8, 1));
  EXPECT_EQ(Steps(), "7:SUPERSEDED 8:RECEIVED 8:ACCEPTED 8:RUNNING");
  Run(absl::Seconds(10));
  EXPECT_EQ(Steps(), "8:DONE");
}

TEST_F(SegmentExecutorTest, EntitiesRunApart) {
  Start(Order(7, 1));
  Start(Order(8, 2));
  Steps();
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "7:DONE 8:DONE");
}

TEST_F(SegmentExecutorTest, AHoldIsDoneWhenItExpires) {
  Start(Order(7, 1, v1::SEGMENT_TYPE_HOLD));
  Steps();
  Run(absl::Milliseconds(4999));
  EXPECT_EQ(Steps(), "");
  Run(absl::Milliseconds(1));
  EXPECT_EQ(Steps(), "7:DONE");
}

TEST_F(SegmentExecutorTest, WithoutAControllerAnExternalEntityRefuses) {
  Start(Order(7, 9));
  EXPECT_EQ(Steps(), "7:REJECTED(no_controller)");
  EXPECT_THAT(effects_.controllers, IsEmpty());
}

TEST_F(SegmentExecutorTest, AControllerHearsOfTheSegmentAndSaysHowItEnded) {
  executor_.SetListening(true, now());
  Start(Order(7, 9));
  ASSERT_THAT(effects_.controllers, SizeIs(1));
  EXPECT_EQ(std::get<SegmentStarted>(effects_.controllers[0]).order.command, CommandId{7});
  Run(absl::Hours(1));
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING");
  executor_.End({.command = CommandId{7}}, now(), updates_, effects_);
  EXPECT_EQ(Steps(), "7:DONE");
  EXPECT_THAT(effects_.controllers, SizeIs(1));
  executor_.End({.command = CommandId{7}}, now(), updates_, effects_);
  EXPECT_EQ(Steps(), "");
}

TEST_F(SegmentExecutorTest, AControllerThatFailsGivesTheReasonInReadableText) {
  executor_.SetListening(true, now());
  Start(Order(7, 9));
  updates_.clear();
  executor_.End({.command = CommandId{7}, .done = false, .detail = "wheel\xff stuck\n"}, now(), updates_, effects_);
  ASSERT_EQ(updates_.size(), 1);
  EXPECT_EQ(updates_[0].detail(), "wheel? stuck?");
  EXPECT_EQ(Steps(), "7:FAILED(driver)");
}

TEST_F(SegmentExecutorTest, AHoldOfAnExternalEntityIsStoppedByUs) {
  executor_.SetListening(true, now());
  Start(Order(7, 9, v1::SEGMENT_TYPE_HOLD));
  Run(absl::Seconds(5));
  ASSERT_THAT(effects_.controllers, SizeIs(2));
  EXPECT_EQ(std::get<SegmentStopped>(effects_.controllers[1]).command, CommandId{7});
}

TEST_F(SegmentExecutorTest, WhatRunsFailsWhenTheLastControllerStaysAway) {
  executor_.SetListening(true, now());
  Start(Order(7, 9));
  Start(Order(8, 1));
  Steps();
  executor_.SetListening(false, now());
  Run(absl::Seconds(3));
  executor_.SetListening(true, now());
  Run(absl::Seconds(60));
  EXPECT_EQ(Steps(), "8:DONE");
  executor_.SetListening(false, now());
  Run(SegmentExecutor::kControllerGrace);
  EXPECT_EQ(Steps(), "7:FAILED(controller_lost)");
  EXPECT_EQ(executor_.NextDue(), MonoTime::Max());
}

TEST_F(SegmentExecutorTest, WhatIsRefusedLeavesTheOneThatRuns) {
  executor_.SetListening(true, now());
  Start(Order(7, 9));
  executor_.SetListening(false, now());
  Start(Order(8, 9));
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING 8:REJECTED(no_controller)");
  executor_.SetListening(true, now());
  executor_.End({.command = CommandId{7}}, now(), updates_, effects_);
  EXPECT_EQ(Steps(), "7:DONE");
}

TEST(ExternalDriver, APoseThatNobodyRenewsIsNotKnownAnyMore) {
  FakeClock clock;
  ExternalDriver driver;
  EXPECT_EQ(driver.PoseAt(clock.Read().mono), std::nullopt);
  driver.Feed({.x_mm = 5}, clock.Read().mono);
  clock.Advance(ExternalDriver::kPoseLasts - absl::Nanoseconds(1));
  EXPECT_EQ(driver.PoseAt(clock.Read().mono), Pose{.x_mm = 5});
  clock.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(driver.PoseAt(clock.Read().mono), std::nullopt);
}

}  // namespace
}  // namespace fleet::device
