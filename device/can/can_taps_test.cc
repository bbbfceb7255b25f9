#include "device/can/can_taps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const MonoTime kNow = MonoTime::FromNanos(1'000'000'000'000);

CanFrame Frame(absl::string_view text) {
  return *ParseCanFrameText(text);
}

std::vector<v1::CanBatch> Batches(const CanEffects& effects) {
  std::vector<v1::CanBatch> batches;
  for (const Publication& p : effects.publish) {
    EXPECT_EQ(p.topic, "rpi/pi-1/can/can0/rx");
    EXPECT_EQ(p.qos, 0);
    EXPECT_TRUE(batches.emplace_back().ParseFromString(p.payload));
  }
  return batches;
}

std::vector<std::string> FramesOf(const CanEffects& effects) {
  std::vector<std::string> texts;
  for (const v1::CanBatch& batch : Batches(effects)) {
    EXPECT_TRUE(
        ForEachFrame(batch.frames(), [&](const CanFrame& f) { AppendCanFrameText(f, texts.emplace_back()); }).ok());
  }
  return texts;
}

class CanTapsTest : public ::testing::Test {
 protected:
  void Start(uint64_t command, std::initializer_list<absl::string_view> filters = {}, bool sent_too = false) {
    v1::CanTap tap;
    tap.set_bus("can0");
    for (absl::string_view filter : filters) *tap.add_filters() = *ParseCanFilter(filter);
    tap.set_duration_ms(60'000);
    tap.set_sent_too(sent_too);
    tap.set_by("joe@desk");
    ASSERT_TRUE(taps_.Start(CommandId{command}, tap, 0, kNow, effects_));
  }
  void Offer(const std::vector<CanFrame>& frames, absl::Duration after = {}, uint64_t dropped = 0) {
    taps_.Offer(frames, dropped, kNow + after, effects_);
  }
  std::vector<TapEnd> Tick(absl::Duration after) {
    std::vector<TapEnd> ended;
    taps_.Tick(kNow + after, effects_, ended);
    return ended;
  }

  CanTaps taps_{*DeviceId::Parse("pi-1"), "can0", 7};
  CanEffects effects_;
};

TEST_F(CanTapsTest, LoneFrameGoesOutWithinTenMilliseconds) {
  Start(5);
  Offer({Frame("123#1122")});
  EXPECT_THAT(effects_.publish, IsEmpty());
  EXPECT_LE(taps_.NextDue(), kNow + absl::Milliseconds(8));
  Tick(taps_.NextDue() - kNow);
  ASSERT_EQ(effects_.publish.size(), 1u);
  const v1::CanBatch batch = Batches(effects_)[0];
  EXPECT_EQ(batch.epoch(), 7u);
  EXPECT_EQ(batch.tap(), 5u);
  EXPECT_EQ(batch.seq(), 1u);
  EXPECT_THAT(FramesOf(effects_), ElementsAre("123#1122"));
}

TEST_F(CanTapsTest, SixtyFourFramesGoOutAtOnce) {
  Start(5);
  Offer(std::vector<CanFrame>(130, Frame("123#1122334455667788")));
  const std::vector<v1::CanBatch> batches = Batches(effects_);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].frames().id_size(), 64);
  EXPECT_EQ(batches[1].seq(), 2u);
  Tick(absl::Milliseconds(10));
  EXPECT_EQ(Batches(effects_)[2].frames().id_size(), 2);
}

TEST_F(CanTapsTest, OnlyWhatPassesTheFilterIsSent) {
  Start(5, {"100:700", "18FEF100"});
  Offer({Frame("123#"), Frame("223#"), Frame("18FEF100#"), Frame("18FEF200#"), Frame("1FF#")});
  Tick(absl::Milliseconds(10));
  EXPECT_THAT(FramesOf(effects_), ElementsAre("123#", "18FEF100#", "1FF#"));
}

TEST_F(CanTapsTest, WhatWeSentIsForThoseWhoAskedForIt) {
  Start(5);
  Start(6, {}, /*sent_too=*/true);
  effects_.Clear();
  CanFrame sent = Frame("123#");
  sent.flags |= kCanSent;
  Offer({sent});
  Tick(absl::Milliseconds(10));
  ASSERT_EQ(Batches(effects_).size(), 1u);
  EXPECT_EQ(Batches(effects_)[0].tap(), 6u);
}

TEST_F(CanTapsTest, LossSinceItBeganIsTold) {
  v1::CanTap tap;
  tap.set_duration_ms(1000);
  ASSERT_TRUE(taps_.Start(CommandId{5}, tap, /*dropped=*/100, kNow, effects_));
  Offer({Frame("123#")}, {}, /*dropped=*/107);
  Tick(absl::Milliseconds(10));
  EXPECT_EQ(Batches(effects_)[0].dropped(), 7u);
}

TEST_F(CanTapsTest, EndsWhenItsTimeIsOverAndIsOnRecord) {
  Start(5, {"123"});
  Offer({Frame("123#")}, absl::Seconds(59.999));
  EXPECT_THAT(Tick(absl::Seconds(59.999)), IsEmpty());
  const std::vector<TapEnd> ended = Tick(absl::Seconds(60));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].command, CommandId{5});
  EXPECT_EQ(ended[0].frames, 1u) << "what waited went out first";
  EXPECT_TRUE(ended[0].in_time);
  EXPECT_THAT(FramesOf(effects_), ElementsAre("123#"));
  ASSERT_EQ(effects_.events.size(), 2u);
  EXPECT_EQ(effects_.events[0].kind(), v1::EVENT_KIND_CAN_TAP_ON);
  EXPECT_EQ(effects_.events[0].name(), "can0");
  EXPECT_EQ(effects_.events[0].detail(), "command 5 by joe@desk for 1m filter 123:7FF");
  EXPECT_EQ(effects_.events[1].kind(), v1::EVENT_KIND_CAN_TAP_OFF);
  EXPECT_EQ(effects_.events[1].detail(), "command 5 by joe@desk time over frames 1 dropped 0");
  EXPECT_TRUE(taps_.empty());
  EXPECT_EQ(taps_.NextDue(), MonoTime::Max());
}

TEST_F(CanTapsTest, StoppedTapSendsNothingMore) {
  Start(5);
  Offer({Frame("123#")});
  const std::optional<TapEnd> end = taps_.Stop(CommandId{5}, "taken back", effects_);
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->in_time);
  effects_.Clear();
  Offer({Frame("124#")});
  Tick(absl::Seconds(1));
  EXPECT_THAT(effects_.publish, IsEmpty());
  EXPECT_FALSE(taps_.Stop(CommandId{5}, "taken back", effects_));
}

TEST_F(CanTapsTest, WhatCouldNotBeSentWithoutALinkIsDroppedAndCounted) {
  Start(5);
  taps_.SetLinkUp(false);
  Offer(std::vector<CanFrame>(70, Frame("123#")));
  Tick(absl::Milliseconds(10));
  EXPECT_THAT(effects_.publish, IsEmpty());
  taps_.SetLinkUp(true);
  Offer({Frame("124#")}, absl::Milliseconds(10));
  Tick(absl::Milliseconds(20));
  ASSERT_EQ(Batches(effects_).size(), 1u);
  EXPECT_EQ(Batches(effects_)[0].dropped(), 70u);
  EXPECT_EQ(Batches(effects_)[0].seq(), 1u);
  EXPECT_EQ(taps_.StopAll("the agent stops", effects_)[0].frames, 1u);
  EXPECT_EQ(effects_.events.back().detail(), "command 5 by joe@desk the agent stops frames 1 dropped 70");
}

TEST_F(CanTapsTest, SixtyFourShortFramesFitOnePacket) {
  Start(5);
  Offer(std::vector<CanFrame>(64, Frame("123#1122334455667788")));
  ASSERT_EQ(effects_.publish.size(), 1u);
  EXPECT_LE(effects_.publish[0].payload.size(), 1000u);
}

TEST_F(CanTapsTest, FifthTapIsRefused) {
  for (uint64_t command = 1; command <= 4; ++command) Start(command);
  v1::CanTap tap;
  tap.set_duration_ms(1000);
  EXPECT_FALSE(taps_.Start(CommandId{5}, tap, 0, kNow, effects_));
}

}  // namespace
}  // namespace fleet::device
