#include "server/can_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/testing/can_messages.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;

template <typename OrderT>
void ExpectRefused(const OrderT& order, const std::string& why) {
  const absl::Status status = Check(order);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << order.ShortDebugString().substr(0, 200);
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(CanOrders, GoodOnesAreTaken) {
  EXPECT_TRUE(Check(SendOf({"123#1122", "18FEF100#R", "123##31122334455667788"})).ok());
  EXPECT_TRUE(Check(TapOf({})).ok());
  EXPECT_TRUE(Check(TapOf({"123:7FF", "18FEF100:1FFFFFFF"}, 1)).ok());
  EXPECT_TRUE(Check(ClearOf()).ok());
}

TEST(CanOrders, EveryOrderNamesABusThatCanBe) {
  ExpectRefused(SendOf({"123#"}, ""), "bus \"\" is not 1 to 32");
  ExpectRefused(SendOf({"123#"}, "can0/tx"), "bus \"can0/tx\"");
  ExpectRefused(ClearOf("+"), "bus \"+\"");
  v1::CanTap tap = TapOf({});
  tap.set_bus(std::string(33, 'x'));
  ExpectRefused(tap, "32 of A-Z");
}

TEST(CanOrders, WhoAsksIsShortAndPrintable) {
  v1::ClearDtcs clear = ClearOf();
  clear.set_by(std::string(64, 'x'));
  EXPECT_TRUE(Check(clear).ok());
  for (const std::string& by :
       {std::string(65, 'x'), std::string("a\nb"), std::string("a\x7f"), std::string("\xc3\xbc")}) {
    clear.set_by(by);
    ExpectRefused(clear, "printable ASCII");
  }
}

TEST(CanOrders, ASendHasOneTo64Frames) {
  v1::CanSend send = SendOf({"123#"});
  *send.mutable_frames() = ManyFrames(64);
  EXPECT_TRUE(Check(send).ok());
  *send.mutable_frames() = ManyFrames(65);
  ExpectRefused(send, "65 frames; 1 to 64");
  send.clear_frames();
  ExpectRefused(send, "0 frames");
}

TEST(CanOrders, FramesThatCannotBeAreNotSent) {
  v1::CanSend send = SendOf({"123#1122", "123#"});
  send.mutable_frames()->set_id(1, 0x800);
  ExpectRefused(send, "above 7ff");
  send = SendOf({"123#1122"});
  send.mutable_frames()->mutable_size()->push_back('\0');
  ExpectRefused(send, "unequal length");
  send = SendOf({"123#1122"});
  send.mutable_frames()->set_data("\x11");
  ExpectRefused(send, "bytes together");
}

TEST(CanOrders, WhatAControllerReportsIsNotSent) {
  ExpectRefused(SendOf({"123#", "20000080#0000000000000000"}), "error frame");
  v1::CanSend own = SendOf({"123#1122"});
  own.mutable_frames()->set_flags(std::string(1, static_cast<char>(kCanSent)));
  EXPECT_TRUE(absl::IsInvalidArgument(Check(own)));
}

TEST(CanOrders, ATapHasAtMost16FiltersThatFitTheirFormat) {
  EXPECT_TRUE(Check(TapOf(std::vector<std::string>(16, "123"))).ok());
  ExpectRefused(TapOf(std::vector<std::string>(17, "123")), "17 filters; a tap has at most 16");
  v1::CanTap tap = TapOf({"123"});
  tap.mutable_filters(0)->set_id(0x800);
  EXPECT_TRUE(absl::IsInvalidArgument(Check(tap)));
}

TEST(CanOrders, ATapLastsOneMillisecondToADay) {
  EXPECT_TRUE(Check(TapOf({}, 86'400'000)).ok());
  ExpectRefused(TapOf({}, 86'400'001), "24h");
  ExpectRefused(TapOf({}, 0), "a tap for 0");
}

}  // namespace
}  // namespace fleet::server
