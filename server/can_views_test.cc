#include "server/can_views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/can_orders.h"
#include "server/testing/can_messages.h"
#include "server/testing/sample_rows.h"
#include "server/views.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::CommandView View(const CommandBody& body) {
  CommandRow row = SampleCommand(7, 1);
  row.body = body;
  return ViewOf(row, {SampleStep(7, 0, v1::COMMAND_STATE_QUEUED)}, "a");
}

TEST(CanViews, FramesAreReadAsCandumpWritesThem) {
  v1::CanSendRequest request;
  for (const char* frame : {"123#1122", "18FEF100#R", "123##11122"}) request.add_frames(frame);
  request.set_by("ann");
  const auto send = CanSendOf("can0", request);
  ASSERT_TRUE(send.ok()) << send.status();
  EXPECT_TRUE(Check(*send).ok());
  EXPECT_EQ(send->bus(), "can0");
  EXPECT_EQ(send->by(), "ann");
  EXPECT_THAT(send->frames().id(), ElementsAre(0x123, 0x18FEF100, 0x123));
  EXPECT_EQ(send->frames().flags(), std::string({0, kCanExtended | kCanRemote, kCanFd | kCanBrs}));
}

TEST(CanViews, WhichFrameOrFilterIsWrongIsSaid) {
  v1::CanSendRequest send;
  send.add_frames("123#1122");
  send.add_frames("123");
  EXPECT_THAT(std::string(CanSendOf("can0", send).status().message()), HasSubstr("frame 2: "));
  v1::CanTapRequest tap;
  tap.add_filters("123:XYZ");
  EXPECT_THAT(std::string(CanTapOf("can0", tap).status().message()), HasSubstr("filter 1: "));
}

TEST(CanViews, TooManyAreRefusedUnread) {
  v1::CanSendRequest send;
  for (int i = 0; i < kMaxFramesPerSend + 1; ++i) send.add_frames("nonsense");
  EXPECT_THAT(std::string(CanSendOf("can0", send).status().message()), HasSubstr("65 frames; at most 64"));
  v1::CanTapRequest tap;
  for (int i = 0; i < kMaxTapFilters + 1; ++i) tap.add_filters("nonsense");
  EXPECT_THAT(std::string(CanTapOf("can0", tap).status().message()), HasSubstr("17 filters; at most 16"));
}

TEST(CanViews, ATapLastsAMinuteUnlessItSays) {
  v1::CanTapRequest request;
  EXPECT_EQ(CanTapOf("can0", request)->duration_ms(), 60'000u);
  request.set_for_ms(5);
  request.set_sent_too(true);
  EXPECT_EQ(CanTapOf("can0", request)->duration_ms(), 5u);
  EXPECT_TRUE(CanTapOf("can0", request)->sent_too());
}

TEST(CanViews, ACommandSaysItsKindWhatItIsAndWhoAsked) {
  v1::CanSend send = SendOf({"123#1122"});
  send.set_by("ann");
  EXPECT_EQ(View(send).kind(), "can_send");
  EXPECT_EQ(View(send).summary(), "send 123#1122 to can0");
  EXPECT_EQ(View(send).by(), "ann");
  EXPECT_EQ(View(SendOf({"12345678#R", "001#", "002#"})).summary(), "send 12345678#R and 2 more to can0");
  EXPECT_EQ(View(ClearOf()).kind(), "clear_dtcs");
  EXPECT_EQ(View(ClearOf()).summary(), "clear trouble codes on can0");
}

TEST(CanViews, ATapNamesAllItsFiltersAndItsTime) {
  EXPECT_EQ(View(TapOf({"123:7FF"}, 600'000)).summary(), "tap can0 123:7FF for 10m");
  EXPECT_EQ(View(TapOf({})).kind(), "can_tap");
  v1::CanTap tap = TapOf({"123", "124", "125", "126", "127:7F0"}, 1500);
  tap.set_sent_too(true);
  EXPECT_EQ(View(tap).summary(), "tap can0 123:7FF 124:7FF 125:7FF 126:7FF 127:7F0 for 1.5s, sent ones too");
  const std::string full = View(TapOf(std::vector<std::string>(kMaxTapFilters, "18FEF100"))).summary();
  EXPECT_EQ(full.find("more"), std::string::npos) << "who approves of it must see all of it";
}

// A row that a later version or a damaged disk left must not take the list of commands with it.
TEST(CanViews, ASendThatMakesNoSenseStillHasASummary) {
  v1::CanSend send = SendOf({"123#", "124#"});
  send.mutable_frames()->set_id(0, 0x800);
  EXPECT_EQ(Summary(send), "send nothing valid and 1 more to can0");
}

}  // namespace
}  // namespace fleet::server
