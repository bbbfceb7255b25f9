#include "device/can/compat_tunnel.h"

#include <gtest/gtest.h>
#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

// 2020-08-19 02:34:34.123456, as in most vectors.
constexpr int64_t kAtUs = 0x0005ad31d819c4c0;

CanFrame Frame(uint32_t id, uint8_t flags, std::initializer_list<uint8_t> data, int64_t at_unix_us = kAtUs) {
  CanFrame frame{.at_unix_us = at_unix_us, .id = id, .flags = flags, .size = static_cast<uint8_t>(data.size())};
  std::ranges::copy(data, frame.data.begin());
  return frame;
}

Arrived Message(std::string topic, absl::string_view hex) {
  return {.topic = std::move(topic), .payload = absl::HexStringToBytes(hex)};
}

std::string Sent(const CanFrame& frame, const std::string& base = "can") {
  CompatTunnel tunnel(base);
  CanEffects effects;
  tunnel.Publish({frame}, effects);
  if (effects.publish.size() != 1) return "";
  return absl::StrCat(effects.publish[0].topic, " ", absl::BytesToHexString(effects.publish[0].payload));
}

uint64_t RefusedAs(CompatRefusal why, const Arrived& message) {
  CompatTunnel tunnel("can");
  EXPECT_EQ(tunnel.Read(message).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tunnel.counters().taken, 0u);
  return tunnel.counters().refused[static_cast<size_t>(why)];
}

TEST(CompatTunnel, PublishesTheVectorsByteForByte) {
  EXPECT_EQ(Sent(Frame(0x7E8, 0, {0x03, 0x41, 0x0d, 0x32, 0, 0, 0, 0})), "can/2024 c0c419d831ad05000003410d3200000000");
  EXPECT_EQ(Sent(Frame(0x18FEF100, kCanExtended, {0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff})),
            "can/419361024 c0c419d831ad050001ffffff0000ffffff");
  EXPECT_EQ(Sent(Frame(0x123, kCanRemote, {})), "can/291 c0c419d831ad050002");
  EXPECT_EQ(Sent(Frame(0, 0, {}, 0), "car7"), "car7/0 000000000000000000");
}

TEST(CompatTunnel, ReadsWhatSavvyCanSends) {
  CompatTunnel tunnel("can");
  const auto frame = tunnel.Read(Message("can/s/2016", "f8c219d831ad050000013eaaaaaaaaaaaa"));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(*frame, Frame(0x7E0, 0, {0x01, 0x3e, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa}));
  EXPECT_EQ(frame->at_unix_us, 0x0005ad31d819c2f8);
  EXPECT_EQ(tunnel.counters().taken, 1u);
}

TEST(CompatTunnel, KnowsItsOwnTopics) {
  const CompatTunnel tunnel("can");
  EXPECT_EQ(tunnel.subscription().filter, "can/s/+");
  EXPECT_TRUE(tunnel.Owns("can/s/1"));
  EXPECT_FALSE(tunnel.Owns("can/1"));
  EXPECT_FALSE(tunnel.Owns("can2/s/1"));
}

TEST(CompatTunnel, LongestFdFrameTravelsBothWays) {
  CanFrame frame = Frame(0x1FFFFFFF, kCanExtended | kCanFd | kCanEsi, {1, 2, 3});
  frame.size = 64;
  frame.data[63] = 9;
  CompatTunnel tunnel("can");
  CanEffects effects;
  tunnel.Publish({frame}, effects);
  ASSERT_EQ(effects.publish.size(), 1u);
  EXPECT_EQ(effects.publish[0].payload.size(), 9u + 64u);
  const auto back = tunnel.Read({.topic = "can/s/536870911", .payload = effects.publish[0].payload});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, frame);
}

TEST(CompatTunnel, ErrorFramesAndItsOwnDoNotLeave) {
  CompatTunnel tunnel("can");
  CanEffects effects;
  tunnel.Publish({Frame(0x80, kCanError, {0, 0, 0, 0, 0, 0, 0, 0}), Frame(0x123, kCanSent, {1}), Frame(0x124, 0, {1})},
                 effects);
  ASSERT_EQ(effects.publish.size(), 1u);
  EXPECT_EQ(effects.publish[0].topic, "can/292");
  EXPECT_EQ(tunnel.counters().published, 1u);
}

TEST(CompatTunnel, LastLevelThatIsNoNumberIsRefused) {
  for (const char* topic : {"can/s/", "can/s/abc", "can/s/-1", "can/s/+1", "can/s/1 ", "can/s/0x10",
                            "can/s/99999999999999999999", "can/s/1/2"}) {
    EXPECT_EQ(RefusedAs(CompatRefusal::kTopic, Message(topic, "000000000000000000")), 1u) << topic;
  }
}

TEST(CompatTunnel, ShortPayloadIsRefused) {
  EXPECT_EQ(RefusedAs(CompatRefusal::kShort, Message("can/s/1", "")), 1u);
  EXPECT_EQ(RefusedAs(CompatRefusal::kShort, Message("can/s/1", "0000000000000000")), 1u);
}

TEST(CompatTunnel, IdBeyondItsFormatIsRefused) {
  EXPECT_EQ(RefusedAs(CompatRefusal::kId, Message("can/s/2048", "000000000000000000")), 1u);
  EXPECT_EQ(RefusedAs(CompatRefusal::kId, Message("can/s/536870912", "000000000000000001")), 1u);
  CompatTunnel tunnel("can");
  EXPECT_TRUE(tunnel.Read(Message("can/s/2048", "000000000000000001")).ok());
}

TEST(CompatTunnel, LengthThatDoesNotExistIsRefused) {
  EXPECT_EQ(
      RefusedAs(CompatRefusal::kSize, Message("can/s/1", absl::StrCat("000000000000000000", "010203040506070809"))),
      1u);
  EXPECT_EQ(
      RefusedAs(CompatRefusal::kSize, Message("can/s/1", absl::StrCat("000000000000000004", "010203040506070809"))),
      1u);
  EXPECT_EQ(RefusedAs(CompatRefusal::kSize, Message("can/s/1", "00000000000000000201")), 1u) << "remote with data";
  EXPECT_EQ(RefusedAs(CompatRefusal::kSize, Message("can/s/1", "000000000000000006")), 1u) << "remote FD";
}

TEST(CompatTunnel, ErrorFrameIsNotTakenForData) {
  EXPECT_EQ(RefusedAs(CompatRefusal::kErrorFrame, Message("can/s/128", "0000000000000000080000000000000000")), 1u);
}

TEST(CompatTunnel, WhatTheBrokerKeptDoesNotReachTheBus) {
  Arrived message = Message("can/s/1", "000000000000000000");
  message.retained = true;
  EXPECT_EQ(RefusedAs(CompatRefusal::kRetained, message), 1u);
}

}  // namespace
}  // namespace fleet::device
