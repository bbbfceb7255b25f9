#include "device/controller_feed.h"

#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"
#include "fleet/v1/api.pb.h"

namespace fleet::device {
namespace {

class ControllerFeedTest : public testing::Test {
 protected:
  SegmentStarted Started(uint64_t command, uint32_t entity) const {
    SegmentOrder order{
        .command = CommandId{command}, .entity = EntityId{entity}, .expires_at = clock_.Read().mono + absl::Seconds(3)};
    order.segment.set_type(v1::SEGMENT_TYPE_ARC_LEFT);
    order.segment.set_start_x_mm(-5);
    order.segment.set_end_speed_mm_s(70);
    return {order};
  }
  static std::vector<EventSource::Item> Read(EventSource& reader) {
    std::vector<EventSource::Item> items;
    EXPECT_TRUE(reader.Next(absl::ZeroDuration(), items));
    return items;
  }

  FakeClock clock_;
  int changes_ = 0;
  std::vector<CommandId> expired_;
  ControllerFeed feed_{clock_, [this] { ++changes_; }, [this](CommandId command) { expired_.push_back(command); }};
};

TEST_F(ControllerFeedTest, ReadersHearOfSegments) {
  const auto reader = feed_.Subscribe();
  feed_.Publish(Started(18'000'000'000'000'000'000u, 9));
  clock_.Advance(absl::Seconds(1));
  feed_.Publish(SegmentStopped{.command = CommandId{7}, .entity = EntityId{9}});
  const auto items = Read(*reader);
  ASSERT_EQ(items.size(), 2);
  EXPECT_EQ(items[0].event, "segment");
  v1::SegmentEvent event;
  ASSERT_TRUE(FromJson(items[0].data, event).ok()) << items[0].data;
  EXPECT_EQ(event.command_id(), "18000000000000000000");
  EXPECT_EQ(event.entity_id(), 9);
  EXPECT_EQ(event.from_x_mm(), -5);
  EXPECT_EQ(event.v1_mm_s(), 70);
  EXPECT_EQ(event.type(), "arc_left");
  EXPECT_EQ(event.expires_in_ms(), 2000);
  EXPECT_EQ(items[0].data.find('\n'), std::string::npos);
  EXPECT_EQ(items[1].event, "stop");
}

TEST_F(ControllerFeedTest, ALateReaderBeginsWithWhatRuns) {
  feed_.Publish(Started(1, 9));
  feed_.Publish(Started(2, 9));
  feed_.Publish(Started(3, 10));
  feed_.Publish(SegmentStopped{.command = CommandId{3}, .entity = EntityId{10}});
  clock_.Advance(absl::Seconds(1));
  const auto reader = feed_.Subscribe();
  const auto items = Read(*reader);
  ASSERT_EQ(items.size(), 1);
  v1::SegmentEvent event;
  ASSERT_TRUE(FromJson(items[0].data, event).ok());
  EXPECT_EQ(event.command_id(), "2");
  EXPECT_EQ(event.expires_in_ms(), 2000);
}

TEST_F(ControllerFeedTest, SaysWhenTheFirstReaderComesAndTheLastGoes) {
  EXPECT_FALSE(feed_.listening());
  auto first = feed_.Subscribe();
  auto second = feed_.Subscribe();
  EXPECT_TRUE(feed_.listening());
  EXPECT_EQ(changes_, 1);
  first.reset();
  EXPECT_TRUE(feed_.listening());
  second.reset();
  EXPECT_FALSE(feed_.listening());
  EXPECT_EQ(changes_, 2);
}

TEST_F(ControllerFeedTest, ACommandFinishesOnce) {
  feed_.Publish(Started(1, 9));
  EXPECT_FALSE(feed_.Finish(CommandId{2}));
  EXPECT_TRUE(feed_.Finish(CommandId{1}));
  EXPECT_FALSE(feed_.Finish(CommandId{1}));
}

TEST_F(ControllerFeedTest, WhatExpiresBeforeItIsReadIsNotGivenAndReportedOnce) {
  const auto first = feed_.Subscribe();
  const auto second = feed_.Subscribe();
  feed_.Publish(Started(1, 9));
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(Read(*first).empty());
  EXPECT_TRUE(Read(*second).empty());
  EXPECT_EQ(expired_, std::vector<CommandId>{CommandId{1}});
  EXPECT_FALSE(feed_.Finish(CommandId{1}));
}

TEST_F(ControllerFeedTest, AReaderThatIsTooLateHearsThatItRunsAndMustNotBegin) {
  const auto controller = feed_.Subscribe();
  const auto slow = feed_.Subscribe();
  feed_.Publish(Started(1, 9));
  EXPECT_EQ(Read(*controller).size(), 1);
  clock_.Advance(absl::Seconds(3));
  for (const auto& items : {Read(*slow), Read(*feed_.Subscribe())}) {
    ASSERT_EQ(items.size(), 1);
    v1::SegmentEvent event;
    ASSERT_TRUE(FromJson(items[0].data, event).ok());
    EXPECT_EQ(event.command_id(), "1");
    EXPECT_EQ(event.expires_in_ms(), 0);
  }
  EXPECT_TRUE(expired_.empty());
  EXPECT_TRUE(feed_.Finish(CommandId{1}));
}

TEST_F(ControllerFeedTest, WhatWasReplacedBeforeItWasReadIsNotReported) {
  const auto reader = feed_.Subscribe();
  feed_.Publish(Started(1, 9));
  clock_.Advance(absl::Seconds(3));
  feed_.Publish(Started(2, 9));
  const auto items = Read(*reader);
  ASSERT_EQ(items.size(), 1);
  EXPECT_NE(items[0].data.find("\"command_id\":\"2\""), std::string::npos);
  EXPECT_TRUE(expired_.empty());
}

TEST_F(ControllerFeedTest, AReaderThatDoesNotReadIsCutOff) {
  const auto reader = feed_.Subscribe();
  for (size_t i = 0; i <= ControllerFeed::kMaxWaiting; ++i) feed_.Publish(Started(i + 1, 9));
  std::vector<EventSource::Item> items;
  EXPECT_FALSE(reader->Next(absl::ZeroDuration(), items));
  EXPECT_EQ(items.size(), ControllerFeed::kMaxWaiting);
}

}  // namespace
}  // namespace fleet::device
