// Trouble codes by the poller: read in rounds, erased on demand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/can/testing/obd_bench.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using ObdCodes = ObdBench;

TEST_F(ObdCodes, CodesOfAllControllersAreGathered) {
  FakeEcu& engine = AddEngine();
  engine.stored = {0x0107, 0x0207, 0x0307, 0x4307};
  engine.pending = {0x0171, 0x0107};
  engine.parameters[0x01] = {0x84, 0x07, 0x65, 0x04};
  AddEcu(0x7E9, {}).stored = {0xC100};
  Begin(Plan({}, absl::Seconds(10)));
  Run(absl::Seconds(2));
  EXPECT_THAT(Requests(), ElementsAre("0100", "0101", "03", "07"));
  EXPECT_THAT(Codes(), ElementsAre("+P0107 stored 7E8", "+P0207 stored 7E8", "+P0307 stored 7E8", "+C0307 stored 7E8",
                                   "+P0171 pending 7E8", "+U0100 stored 7E9"));
  EXPECT_EQ(Health(), "error");
  engine.stored.resize(3);
  engine.pending = {};
  engine.parameters[0x01][0] = 0x03;
  Run(absl::Seconds(10));
  EXPECT_THAT(Codes(), testing::UnorderedElementsAre("-C0307 stored 7E8", "-P0171 pending 7E8"));
  EXPECT_EQ(Health(), "warning");
}

TEST_F(ObdCodes, SilenceAndBrokenListsClearNoCode) {
  FakeEcu& engine = AddEngine();
  engine.stored = {0x0133};
  engine.pending = {0x0171};
  Begin(Plan({Pid(kRpm, 0)}, absl::Seconds(1)));
  Run(absl::Seconds(2));
  EXPECT_THAT(Codes(), ElementsAre("+P0133 stored 7E8", "+P0171 pending 7E8"));
  engine.says["03"] = {{0x43, 0x02, 0x01, 0x33}};
  engine.says["07"] = {};
  Run(absl::Seconds(5));
  engine.says["03"] = {{0x7F, 0x03, 0x22}};
  Run(absl::Seconds(5));
  engine.mute = true;
  Run(absl::Minutes(3));
  EXPECT_THAT(Codes(), IsEmpty());
  engine.mute = false;
  engine.says.clear();
  engine.stored.clear();
  Run(absl::Seconds(35));
  EXPECT_THAT(Codes(), ElementsAre("-P0133 stored 7E8"));
}

TEST_F(ObdCodes, WithoutAnyListNothingIsKnown) {
  AddEngine().says = {{"03", {}}, {"07", {{0x7F, 0x07, 0x11}}}};
  Begin(Plan({}, absl::Seconds(1)));
  Run(absl::Seconds(5));
  EXPECT_THAT(effects_.publish, IsEmpty()) << "no `none`, and no `ok`";
}

TEST_F(ObdCodes, ClearIsSentOnceAndSaysWhatCameOfIt) {
  FakeEcu& engine = AddEngine();
  engine.stored = {0x0133};
  AddEcu(0x7E9, {{kSpeed, {1}}}).says["04"] = {{0x7F, 0x04, 0x22}};
  Begin(Plan({Pid(kRpm, 0)}, absl::Seconds(60)));
  Run(absl::Seconds(2));
  ASSERT_EQ(poller_->Clear(77, clock_.Read().mono), absl::OkStatus());
  EXPECT_EQ(poller_->Clear(78, clock_.Read().mono).code(), absl::StatusCode::kUnavailable);
  Codes();
  Requests();
  Run(absl::Seconds(2));
  auto cleared = poller_->TakeCleared();
  ASSERT_TRUE(cleared.has_value());
  EXPECT_EQ(cleared->token, 77u);
  EXPECT_FALSE(cleared->ok);
  EXPECT_EQ(cleared->detail, "7E8 cleared, 7E9 refused: conditions not correct");
  EXPECT_EQ(poller_->TakeCleared(), std::nullopt);
  EXPECT_EQ(std::ranges::count(Requests(), "04"), 1);
  EXPECT_THAT(Codes(), ElementsAre("-P0133 stored 7E8")) << "looked at again at once";

  ecus_[1]->says.clear();
  ASSERT_EQ(poller_->Clear(78, clock_.Read().mono), absl::OkStatus());
  Run(absl::Seconds(60));
  cleared = poller_->TakeCleared();
  ASSERT_TRUE(cleared.has_value());
  EXPECT_TRUE(cleared->ok);
  EXPECT_EQ(std::ranges::count(Requests(), "04"), 1);
}

TEST_F(ObdCodes, ClearOfNobodyHasFailed) {
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(100));
  ASSERT_EQ(poller_->Clear(1, clock_.Read().mono), absl::OkStatus());
  Run(absl::Seconds(1));
  const auto cleared = poller_->TakeCleared();
  ASSERT_TRUE(cleared.has_value());
  EXPECT_FALSE(cleared->ok);
  EXPECT_EQ(cleared->detail, "no controller answered");
}

TEST_F(ObdCodes, ClearThatFindsNoGapIsNotSentLater) {
  FakeEcu& engine = AddEngine();
  engine.says["010c"] = {{0x7F, 0x01, 0x78}};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(400));
  ASSERT_EQ(poller_->Clear(5, clock_.Read().mono), absl::OkStatus());
  Run(absl::Seconds(1));
  EXPECT_THAT(poller_->TakeCleared()->detail, HasSubstr("not sent"));
  Run(absl::Seconds(20));
  EXPECT_EQ(std::ranges::count(Requests(), "04"), 0);
}

TEST_F(ObdCodes, ClearUnderWayFailsWithTheBus) {
  AddEngine().says["04"] = {{0x7F, 0x04, 0x78}};
  Begin(Plan({}));
  Run(absl::Seconds(1));
  ASSERT_EQ(poller_->Clear(5, clock_.Read().mono), absl::OkStatus());
  Run(absl::Seconds(1));
  EXPECT_EQ(poller_->TakeCleared(), std::nullopt);
  poller_->BusChanged(false, clock_.Read().mono);
  EXPECT_EQ(poller_->TakeCleared()->detail, "the bus went down");
}

}  // namespace
}  // namespace fleet::device
