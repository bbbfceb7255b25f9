#include "device/can/send_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/can/candump.h"

namespace fleet::device {
namespace {

using ::testing::HasSubstr;

const MonoTime kNow = MonoTime::FromNanos(1'000'000'000'000);

std::vector<CanFrame> Frames(std::initializer_list<absl::string_view> texts) {
  std::vector<CanFrame> frames;
  for (absl::string_view text : texts) frames.push_back(*ParseCanFrameText(text));
  return frames;
}

SendGate Gate(absl::string_view allow, double rate_hz = 100, bool listen_only = false) {
  return SendGate({.allow = *ParseSendAllow(allow), .rate_hz = rate_hz, .listen_only = listen_only});
}

absl::StatusCode Judged(absl::string_view allow, absl::string_view frame) {
  SendGate gate = Gate(allow);
  return gate.Judge(Frames({frame}), kNow).code();
}

TEST(SendGate, NothingMayBeSentUntilItIsAllowed) {
  EXPECT_EQ(Judged("", "123#11"), absl::StatusCode::kPermissionDenied);
}

TEST(SendGate, IdOrMaskAllows) {
  EXPECT_EQ(Judged("123", "123#11"), absl::StatusCode::kOk);
  EXPECT_EQ(Judged("123", "124#11"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Judged("7DF, 7E0:7F8", "7E7#11"), absl::StatusCode::kOk);
  EXPECT_EQ(Judged("7DF, 7E0:7F8", "7E8#11"), absl::StatusCode::kPermissionDenied);
}

TEST(SendGate, StandardAndExtendedIdsAreNotTakenForEachOther) {
  EXPECT_EQ(Judged("123", "00000123#11"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Judged("00000123", "123#11"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Judged("00000123", "00000123#11"), absl::StatusCode::kOk);
}

TEST(SendGate, ErrorFrameIsNeverSent) {
  SendGate gate = Gate("0:0,00000000:00000000");
  CanFrame frame{.id = 0x80, .flags = kCanError, .size = 8};
  EXPECT_EQ(gate.Judge({frame}, kNow).code(), absl::StatusCode::kPermissionDenied);
}

TEST(SendGate, OneForbiddenFrameStopsTheOrderAndIsNamed) {
  SendGate gate = Gate("123");
  const absl::Status status = gate.Judge(Frames({"123#", "125#AABB"}), kNow);
  EXPECT_THAT(std::string(status.message()), HasSubstr("125#AABB"));
  EXPECT_EQ(gate.refused(), 1u);
  EXPECT_EQ(gate.passed(), 0u);
}

TEST(SendGate, ListenOnlyBusTakesNothing) {
  SendGate gate = Gate("123", 100, /*listen_only=*/true);
  EXPECT_EQ(gate.Judge(Frames({"123#"}), kNow).code(), absl::StatusCode::kPermissionDenied);
}

TEST(SendGate, RateHoldsOverTimeAndABurstOfOneOrderIsFree) {
  SendGate gate = Gate("123", /*rate_hz=*/10);
  const std::vector<CanFrame> order(64, Frames({"123#"})[0]);
  EXPECT_TRUE(gate.Judge(order, kNow).ok());
  EXPECT_EQ(gate.Judge(Frames({"123#"}), kNow).code(), absl::StatusCode::kResourceExhausted);
  int passed = 0;
  for (int ms = 1; ms <= 10'000; ++ms) passed += gate.Judge(Frames({"123#"}), kNow + absl::Milliseconds(ms)).ok();
  EXPECT_EQ(passed, 100);
  EXPECT_EQ(gate.passed(), 164u);
}

TEST(SendGate, WhatIsRefusedTakesNothingFromTheRate) {
  SendGate gate = Gate("123", /*rate_hz=*/1);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(gate.Judge(Frames({"124#"}), kNow).ok());
  EXPECT_TRUE(gate.Judge(std::vector<CanFrame>(64, Frames({"123#"})[0]), kNow).ok());
}

TEST(SendAllow, MistakeIsNamed) {
  EXPECT_TRUE(ParseSendAllow("")->empty());
  EXPECT_EQ(ParseSendAllow("123,45G").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ParseSendAllow("123,45G").status().message()), HasSubstr("45G"));
}

}  // namespace
}  // namespace fleet::device
