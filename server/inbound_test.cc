#include "server/inbound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fleet::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class InboundTest : public testing::Test {
 protected:
  std::vector<std::pair<std::string, std::string>> Drain() {
    std::vector<std::pair<std::string, std::string>> messages;
    inbound_.Drain(
        [&](absl::string_view topic, absl::string_view payload, bool) { messages.emplace_back(topic, payload); });
    return messages;
  }

  int woken_ = 0;
  Inbound inbound_{[this] { ++woken_; }};
};

TEST_F(InboundTest, MessagesComeOutWholeAndInOrder) {
  const std::string binary("\0\xff\n\0", 4);
  inbound_.Push({.topic = "rpi/a/state", .payload = binary});
  inbound_.Push({.topic = "", .payload = ""});
  inbound_.Push({.topic = "rpi/b/state", .payload = std::string(1000, 'x')});
  EXPECT_THAT(Drain(),
              ElementsAre(Pair("rpi/a/state", binary), Pair("", ""), Pair("rpi/b/state", std::string(1000, 'x'))));
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(InboundTest, WhatTheBrokerHadStoredIsMarked) {
  inbound_.Push({.topic = "a", .payload = "x", .retained = true});
  inbound_.Push({.topic = "b", .payload = "y", .retained = false});
  std::vector<bool> marks;
  inbound_.Drain([&](absl::string_view, absl::string_view, bool retained) { marks.push_back(retained); });
  EXPECT_THAT(marks, ElementsAre(true, false));
}

TEST_F(InboundTest, WakesTheReaderOncePerBatch) {
  inbound_.Push({.topic = "a"});
  inbound_.Push({.topic = "b"});
  EXPECT_EQ(woken_, 1);
  Drain();
  inbound_.Push({.topic = "c"});
  EXPECT_EQ(woken_, 2);
}

TEST_F(InboundTest, FullRefusesAndCountsAndGoesOnWhenDrained) {
  const Arrived large{.topic = "rpi/a/state", .payload = std::string(kMaxPayloadBytes, 'x')};
  size_t taken = 0;
  while (inbound_.Push(large)) ++taken;
  EXPECT_FALSE(inbound_.Push(large));
  EXPECT_EQ(inbound_.dropped(), 2u);
  EXPECT_LE(taken * kMaxPayloadBytes, Inbound::kMaxBytes);
  EXPECT_EQ(Drain().size(), taken);
  EXPECT_TRUE(inbound_.Push(large));
}

TEST_F(InboundTest, TapsLeaveRoomForWhatDevicesSayOfThemselves) {
  const Arrived frames{.topic = "rpi/a/can/can0/rx", .payload = std::string(1000, 'x')};
  size_t taken = 0;
  while (inbound_.Push(frames)) ++taken;
  EXPECT_EQ(inbound_.dropped_of_taps(), 1u);
  EXPECT_EQ(inbound_.dropped(), 0u);
  EXPECT_LE(taken * 1000, Inbound::kMaxBytesForTaps);
  size_t beats = 0;
  while (inbound_.Push({.topic = "rpi/a/heartbeat", .payload = "beat"})) ++beats;
  EXPECT_GT(beats, 100'000u) << "a flood of frames takes no more than a quarter";
  EXPECT_FALSE(inbound_.Push(frames));
  const auto messages = Drain();
  EXPECT_EQ(messages.size(), taken + beats);
  EXPECT_EQ(messages.front().first, frames.topic) << "in order";
  EXPECT_TRUE(inbound_.Push(frames));
}

TEST_F(InboundTest, TooLargeAPayloadIsCutToWhatIsStillRefused) {
  inbound_.Push({.topic = "rpi/a/state", .payload = std::string(1'000'000, 'x')});
  inbound_.Push({.topic = "rpi/b/state", .payload = "good"});
  const auto messages = Drain();
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_FALSE(CheckSize(messages[0].second).ok());
  EXPECT_EQ(messages[0].second.size(), kMaxPayloadBytes + 1);
  EXPECT_EQ(messages[1].second, "good");
}

}  // namespace
}  // namespace fleet::server
