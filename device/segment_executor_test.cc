#include "device/segment_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <variant>

#include "common/testing/fake_clock.h"
#include "device/external_driver.h"
#include "device/simulated_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

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
  SegmentOrder Appended(uint64_t command, uint32_t entity) {
    SegmentOrder order = Order(command, entity);
    order.segment.set_mode(v1::SEGMENT_MODE_APPEND);
    return order;
  }
  void Start(const SegmentOrder& order) { executor_.Add(order, /*is_saved=*/true, now(), updates_, effects_); }
  void AddUnsaved(const SegmentOrder& order) { executor_.Add(order, /*is_saved=*/false, now(), updates_, effects_); }
  void Saved(uint64_t command, bool ok = true) { executor_.Saved(CommandId{command}, ok, now(), updates_, effects_); }
  // All commands below `id`.
  size_t CancelBelow(uint64_t id) {
    const auto covers = [id](const SegmentOrder& order) { return order.command < CommandId{id}; };
    return executor_.Cancel(covers, "stopped", now(), updates_, effects_);
  }
  void EnterFailSafe(const FailSafeOptions& options) { executor_.EnterFailSafe(options, now(), updates_, effects_); }
  void Run(absl::Duration time) {
    const MonoTime until = now() + time;
    while (executor_.NextDue() <= until) {
      clock_.Advance(executor_.NextDue() - now());
      executor_.Tick(now(), updates_, effects_);
    }
    clock_.Advance(until - now());
  }
  MonoTime now() const { return clock_.Read().mono; }

  // And forgets them.
  std::string Steps() { return StepsOf(std::exchange(updates_, {})); }

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
  EXPECT_EQ(Steps(), "8:RECEIVED 8:ACCEPTED 7:SUPERSEDED 8:RUNNING");
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
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:REJECTED(no_controller)");
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
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING 8:RECEIVED 8:ACCEPTED 8:REJECTED(no_controller)");
  executor_.SetListening(true, now());
  executor_.End({.command = CommandId{7}}, now(), updates_, effects_);
  EXPECT_EQ(Steps(), "7:DONE");
}

TEST_F(SegmentExecutorTest, NothingStartsBeforeItIsSaved) {
  Start(Order(7, 1));
  Steps();
  AddUnsaved(Order(8, 1));
  EXPECT_EQ(Steps(), "8:RECEIVED 8:ACCEPTED");
  Run(absl::Seconds(1));
  EXPECT_EQ(Steps(), "");
  Saved(99);
  EXPECT_EQ(Steps(), "");
  Saved(8);
  EXPECT_EQ(Steps(), "7:SUPERSEDED 8:RUNNING");
  Saved(8);
  EXPECT_EQ(Steps(), "");
}

TEST_F(SegmentExecutorTest, WhatCannotBeSavedDoesNotRunAndDisturbsNothing) {
  Start(Order(7, 1));
  AddUnsaved(Order(8, 1));
  AddUnsaved(Appended(9, 1));
  Steps();
  Saved(8, /*ok=*/false);
  EXPECT_EQ(Steps(), "8:REJECTED(spool_failed)");
  Saved(9);
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "7:DONE 9:RUNNING");
  Saved(9, /*ok=*/false);  // a later step of it was not written: it runs on
  EXPECT_EQ(Steps(), "");
}

TEST_F(SegmentExecutorTest, ItsTimeToLiveIsLookedAtAgainWhenItIsSaved) {
  AddUnsaved(Order(7, 1));
  Steps();
  clock_.Advance(absl::Seconds(5));  // the process was stopped: no Tick in between
  Saved(7);
  EXPECT_EQ(Steps(), "7:EXPIRED(expired)");
}

TEST_F(SegmentExecutorTest, WhatIsNeverSavedExpires) {
  AddUnsaved(Order(7, 1));
  Steps();
  Run(absl::Milliseconds(4999));
  EXPECT_EQ(Steps(), "");
  Run(absl::Milliseconds(1));
  EXPECT_EQ(Steps(), "7:EXPIRED(expired)");
  EXPECT_EQ(executor_.NextDue(), MonoTime::Max());
}

TEST_F(SegmentExecutorTest, OfReplacingSegmentsOnlyTheNewestWaits) {
  AddUnsaved(Order(7, 1));
  AddUnsaved(Order(8, 1));
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 8:RECEIVED 8:ACCEPTED 7:SUPERSEDED");
  Saved(7);
  EXPECT_EQ(Steps(), "");
  Saved(8);
  EXPECT_EQ(Steps(), "8:RUNNING");
}

TEST_F(SegmentExecutorTest, AppendedSegmentsRunOneAfterTheOther) {
  Start(Appended(7, 1));
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING");
  Start(Appended(8, 1));
  Start(Appended(9, 1));
  EXPECT_EQ(Steps(), "8:RECEIVED 8:ACCEPTED 9:RECEIVED 9:ACCEPTED");
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "7:DONE 8:RUNNING");
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "8:DONE 9:RUNNING");
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "9:DONE");
}

TEST_F(SegmentExecutorTest, AnAppendedSegmentExpiresWhileItWaits) {
  Start(Order(7, 1, v1::SEGMENT_TYPE_HOLD));  // for 5 s
  SegmentOrder brief = Appended(8, 1);
  brief.expires_at = now() + absl::Seconds(3);
  Start(brief);
  clock_.Advance(absl::Seconds(1));
  Start(Appended(9, 1));
  Steps();
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "8:EXPIRED(expired)");
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "7:DONE 9:RUNNING");
}

TEST_F(SegmentExecutorTest, AReplacingSegmentEndsWhatRunsAndWaits) {
  Start(Order(7, 1));
  Start(Appended(8, 1));
  Start(Appended(9, 2));
  Steps();
  Start(Order(10, 1));
  EXPECT_EQ(Steps(), "10:RECEIVED 10:ACCEPTED 7:SUPERSEDED 8:SUPERSEDED 10:RUNNING");
}

TEST_F(SegmentExecutorTest, TheLineIsBoundedButOpenToAReplacingSegment) {
  Start(Order(1, 1));
  for (uint64_t id = 2; id < 2 + SegmentExecutor::kMaxWaiting; ++id) Start(Appended(id, 1));
  Steps();
  Start(Appended(100, 1));
  EXPECT_EQ(Steps(), "100:REJECTED(queue_full)");
  Start(Appended(101, 2));
  EXPECT_EQ(Steps(), "101:RECEIVED 101:ACCEPTED 101:RUNNING");
  Start(Order(102, 1));
  EXPECT_EQ(executor_.superseded(), 1 + SegmentExecutor::kMaxWaiting);
}

TEST_F(SegmentExecutorTest, CancelEndsWhatRunsWaitsAndIsNotSaved) {
  Start(Order(7, 1));
  Start(Appended(8, 1));
  AddUnsaved(Order(9, 2));
  Steps();
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(CancelBelow(100), 3);
  EXPECT_EQ(Steps(), "7:CANCELLED(stopped) 8:CANCELLED(stopped) 9:CANCELLED(stopped)");
  EXPECT_EQ(executor_.entities()[0].driver->PoseAt(now())->x_mm, 500);
  EXPECT_EQ(executor_.entities()[0].driver->PoseAt(now())->vx_mm_s, 0);
  Saved(9);
  Run(absl::Minutes(1));
  EXPECT_EQ(Steps(), "");
  EXPECT_EQ(executor_.cancelled(), 3);
}

TEST_F(SegmentExecutorTest, WhatIsNotCoveredByACancelGoesOn) {
  Start(Order(7, 1));
  Start(Appended(8, 1));
  Start(Appended(9, 1));
  Steps();
  EXPECT_EQ(CancelBelow(9), 2);
  EXPECT_EQ(Steps(), "7:CANCELLED(stopped) 8:CANCELLED(stopped) 9:RUNNING");
}

TEST_F(SegmentExecutorTest, FailSafeFollowsThePolicyOfEachEntity) {
  executor_.SetListening(true, now());
  for (const uint32_t entity : {1u, 2u, 9u}) {
    Start(Order(entity * 10, entity));
    Start(Appended(entity * 10 + 1, entity));
  }
  Steps();
  EnterFailSafe(
      {.entities = {{EntityId{2}, FailSafePolicy::kFinishSegment}, {EntityId{9}, FailSafePolicy::kContinue}}});
  EXPECT_EQ(Steps(), "10:FAILED(fail_safe) 11:CANCELLED(fail_safe) 21:CANCELLED(fail_safe)");
  Run(absl::Seconds(2));
  EXPECT_EQ(Steps(), "20:DONE");
  executor_.End({.command = CommandId{90}}, now(), updates_, effects_);
  EXPECT_EQ(Steps(), "90:DONE 91:RUNNING");
}

TEST_F(SegmentExecutorTest, FailSafeOfAnIdleEntityDoesNothing) {
  EnterFailSafe({});
  EXPECT_EQ(Steps(), "");
  EXPECT_THAT(effects_.controllers, IsEmpty());
}

TEST_F(SegmentExecutorTest, WhatNoControllerHadInTimeExpires) {
  executor_.SetListening(true, now());
  Start(Order(7, 9));
  Start(Appended(8, 9));
  Steps();
  executor_.End({.command = CommandId{7}, .done = false, .expired = true}, now(), updates_, effects_);
  EXPECT_EQ(Steps(), "7:EXPIRED(expired) 8:RUNNING");
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
