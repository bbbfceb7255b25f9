#include "server/watchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/testing/fake_clock.h"
#include "fleet/v1/api.pb.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class WatchersTest : public testing::Test {
 protected:
  void Publish() { watchers_.Publish(fleet_.TakeRows(), fleet_.state, clock_); }
  void PublishEvents(size_t count) {
    fleet_.Report("a", 1, {1});
    fleet_.TakeRows();
    const RowBatch rows{.devices = {{.device_row = fleet_.device("a").row, .id = fleet_.device("a").id}}};
    for (size_t i = 0; i < count; ++i) watchers_.Publish(rows, fleet_.state, clock_);
  }
  static std::vector<EventSource::Item> Take(EventSource& source) {
    std::vector<EventSource::Item> items;
    EXPECT_TRUE(source.Next(absl::ZeroDuration(), items));
    return items;
  }
  static std::vector<std::string> Names(const std::vector<EventSource::Item>& items) {
    std::vector<std::string> names;
    for (const EventSource::Item& item : items) names.push_back(item.event);
    return names;
  }

  FakeClock clock_;
  TestFleet fleet_{clock_};
  Watchers watchers_;
};

TEST_F(WatchersTest, ALivenessChangeIsAnEventOfItsDevice) {
  const auto watch = watchers_.Watch();
  fleet_.Say("a", v1::PRESENCE_ONLINE);
  fleet_.TakeRows();
  fleet_.Beat("a", 1);
  Publish();
  const std::vector<EventSource::Item> items = Take(*watch);
  ASSERT_THAT(Names(items), ElementsAre("state", "device"));
  v1::StreamEvent event;
  ASSERT_TRUE(FromJson(items[1].data, event).ok()) << items[1].data;
  EXPECT_EQ(event.device().device_id(), "a");
  EXPECT_EQ(event.device().state(), "online");
  EXPECT_EQ(items[1].data.find('\n'), std::string::npos) << "one line";
}

TEST_F(WatchersTest, EachStepOfACommandIsAnEvent) {
  const auto watch = watchers_.Watch();
  fleet_.Beat("a", 1);
  v1::Segment hold;
  hold.set_type(v1::SEGMENT_TYPE_HOLD);
  ASSERT_TRUE(fleet_.state.Submit("a", hold, {.ttl = absl::Seconds(1)}, clock_, fleet_.changes).ok());
  Publish();
  const std::vector<EventSource::Item> items = Take(*watch);
  ASSERT_THAT(items, SizeIs(::testing::Ge(1u)));
  EXPECT_EQ(items.back().event, "command");
  v1::StreamEvent event;
  ASSERT_TRUE(FromJson(items.back().data, event).ok()) << items.back().data;
  EXPECT_EQ(event.command().state(), "queued");
  EXPECT_EQ(event.command().steps_size(), 1);
}

TEST_F(WatchersTest, ASlowReaderKeepsTheOldestAndIsToldHowManyItMissed) {
  const auto slow = watchers_.Watch();
  PublishEvents(Watchers::kMaxQueued + 7);
  const std::vector<EventSource::Item> items = Take(*slow);
  ASSERT_THAT(items, SizeIs(Watchers::kMaxQueued + 1));
  EXPECT_EQ(items.back().event, "gap");
  v1::StreamEvent event;
  ASSERT_TRUE(FromJson(items.back().data, event).ok()) << items.back().data;
  EXPECT_EQ(event.gap().dropped(), 7);
  PublishEvents(1);
  EXPECT_THAT(Names(Take(*slow)), ElementsAre("state")) << "the gap is told once";
}

TEST_F(WatchersTest, ASlowReaderHoldsUpNobody) {
  const auto slow = watchers_.Watch();
  const auto quick = watchers_.Watch();
  for (size_t i = 0; i < Watchers::kMaxQueued + 10; ++i) {
    PublishEvents(1);
    ASSERT_THAT(Names(Take(*quick)), ElementsAre("state"));
  }
}

TEST_F(WatchersTest, NothingIsBuiltWhileNobodyWatches) {
  RowBatch rows;
  // Of a device that is not known: to build its event would crash.
  rows.devices.push_back({.device_row = 1, .id = *DeviceId::Parse("nobody")});
  watchers_.Publish(rows, fleet_.state, clock_);
  { const auto gone = watchers_.Watch(); }
  watchers_.Publish(rows, fleet_.state, clock_);
  EXPECT_EQ(watchers_.count(), 0u);
}

TEST_F(WatchersTest, CountsThoseWhoWatch) {
  auto one = watchers_.Watch();
  auto two = watchers_.Watch();
  EXPECT_EQ(watchers_.count(), 2u);
  one.reset();
  EXPECT_EQ(watchers_.count(), 1u);
}

TEST_F(WatchersTest, NextWaitsForAnEvent) {
  const auto watch = watchers_.Watch();
  auto names = std::async(std::launch::async, [&watch] {
    std::vector<EventSource::Item> items;
    while (items.empty()) EXPECT_TRUE(watch->Next(absl::Seconds(60), items));
    return Names(items);
  });
  PublishEvents(1);
  EXPECT_THAT(names.get(), ElementsAre("state"));
}

TEST_F(WatchersTest, CloseEndsStreamsAfterWhatIsThere) {
  const auto watch = watchers_.Watch();
  PublishEvents(1);
  watchers_.Close();
  std::vector<EventSource::Item> items;
  EXPECT_FALSE(watch->Next(absl::Hours(1), items));
  EXPECT_THAT(Names(items), ElementsAre("state"));
  EXPECT_FALSE(watchers_.Watch()->Next(absl::Hours(1), items)) << "who comes later sees the end too";
}

TEST_F(WatchersTest, CloseWakesAReaderThatWaits) {
  const auto watch = watchers_.Watch();
  auto ended = std::async(std::launch::async, [&watch] {
    std::vector<EventSource::Item> items;
    while (watch->Next(absl::Seconds(60), items)) {
    }
    return items;
  });
  watchers_.Close();
  EXPECT_THAT(ended.get(), IsEmpty());
}

}  // namespace
}  // namespace fleet::server
