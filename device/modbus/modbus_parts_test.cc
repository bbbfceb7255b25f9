// The small parts of the hub: poller, health, memory of writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"
#include "device/modbus/modbus_poller.h"
#include "device/modbus/recent_writes.h"
#include "device/modbus/testing/hub_bed.h"
#include "device/modbus/unit_health.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;

// "unit:address+count" of each block.
std::vector<std::string> BlocksOf(const ModbusPoller& poller) {
  std::vector<std::string> blocks;
  for (size_t i = 0; i < poller.size(); ++i) {
    const ModbusPoller::Block& block = poller.block(i);
    blocks.push_back(absl::StrCat(block.unit, ":", block.address, "+", block.count));
  }
  return blocks;
}

ModbusPlan PlanWith(std::vector<ModbusPollPlan> polls) {
  ModbusPlan plan = BedPlan();
  plan.polls = std::move(polls);
  return plan;
}

TEST(ModbusPoller, JoinsOnlyNeighboursOfOneUnitTableAndPeriod) {
  ModbusPollPlan coil = PollOf(0, 12, 4);
  coil.function = ModbusFunction::kReadCoils;
  const ModbusPlan plan = PlanWith({PollOf(0, 11, 0), PollOf(0, 10, 1), PollOf(0, 13, 2), PollOf(1, 12, 3), coil,
                                    PollOf(0, 12, 5, absl::Seconds(2))});
  EXPECT_THAT(BlocksOf(ModbusPoller(plan, {})), ElementsAre("0:12+1", "0:10+2", "0:13+1", "0:12+1", "1:12+1"));
}

TEST(ModbusPoller, JoinsOverGapsAsFarAsTheUnitAllows) {
  ModbusPlan plan = PlanWith({PollOf(0, 10, 0), PollOf(0, 13, 1), PollOf(0, 17, 2)});
  plan.units[0].join_gap = 2;
  EXPECT_THAT(BlocksOf(ModbusPoller(plan, {})), ElementsAre("0:10+4", "0:17+1"));
}

TEST(ModbusPoller, NoBlockIsLongerThanATransaction) {
  std::vector<ModbusPollPlan> polls;
  for (uint16_t i = 0; i < 130; ++i) polls.push_back(PollOf(0, i, i));
  EXPECT_THAT(BlocksOf(ModbusPoller(PlanWith(polls), {})), ElementsAre("0:0+125", "0:125+5"));
}

TEST(ModbusPoller, OverlappingValuesShareTheirRegisters) {
  ModbusPollPlan wide = PollOf(0, 10, 0);
  wide.type = ModbusType::kU32;
  const ModbusPoller poller(PlanWith({wide, PollOf(0, 11, 1)}), {});
  EXPECT_THAT(BlocksOf(poller), ElementsAre("0:10+2"));
  EXPECT_EQ(poller.block(0).items[1].offset, 1);
}

TEST(ModbusPoller, LastRegisterOfAllIsReadToo) {
  EXPECT_THAT(BlocksOf(ModbusPoller(PlanWith({PollOf(0, 65534, 0), PollOf(0, 65535, 1)}), {})),
              ElementsAre("0:65534+2"));
}

TEST(UnitHealth, PausesDoubleUpToTheLongest) {
  FakeClock clock;
  UnitHealth health;
  const auto fail = [&] { return health.Hear(false, clock.Read().mono); };
  EXPECT_EQ(fail(), UnitHealth::Change::kNone);
  EXPECT_TRUE(health.MayPoll(clock.Read().mono));
  EXPECT_EQ(fail(), UnitHealth::Change::kSetAside);
  absl::Duration pause = UnitHealth::kMinPause;
  for (int i = 0; i < 8; ++i) {
    EXPECT_FALSE(health.MayPoll(clock.Read().mono));
    EXPECT_EQ(health.next_try() - clock.Read().mono, pause);
    clock.Advance(pause);
    EXPECT_TRUE(health.MayPoll(clock.Read().mono));
    health.Asked();
    EXPECT_FALSE(health.MayPoll(clock.Read().mono));
    EXPECT_EQ(fail(), UnitHealth::Change::kNone);
    pause = std::min(2 * pause, UnitHealth::kMaxPause);
  }
  EXPECT_EQ(pause, UnitHealth::kMaxPause);
  clock.Advance(UnitHealth::kMinPause);
  EXPECT_FALSE(health.MayPoll(clock.Read().mono));
  EXPECT_TRUE(health.MayAsk(clock.Read().mono)) << "a person does not wait for half a minute";
  EXPECT_EQ(health.Hear(true, clock.Read().mono), UnitHealth::Change::kBack);
  EXPECT_TRUE(health.MayPoll(clock.Read().mono));
}

TEST(UnitHealth, WhatWasOnTheBusAlreadyDoublesNothing) {
  FakeClock clock;
  UnitHealth health;
  for (int i = 0; i < 8; ++i) health.Hear(false, clock.Read().mono);
  EXPECT_EQ(health.next_try() - clock.Read().mono, UnitHealth::kMinPause);
}

TEST(RecentWrites, AreKnownForAWhileAndBounded) {
  FakeClock clock;
  RecentWrites writes;
  const auto find = [&](const std::string& id) { return writes.Find(id, clock.Read().mono); };
  writes.Begin("a", 1, clock.Read().mono);
  ASSERT_NE(find("a"), nullptr);
  EXPECT_FALSE(find("a")->is_over);
  writes.End("a", "done");
  EXPECT_EQ(find("a")->response, "done");
  clock.Advance(RecentWrites::kKeep + absl::Seconds(1));
  EXPECT_EQ(find("a"), nullptr);
  for (size_t i = 0; i < 2 * RecentWrites::kMax; ++i) writes.Begin(absl::StrCat(i), 1, clock.Read().mono);
  EXPECT_EQ(writes.size(), RecentWrites::kMax);
}

TEST(RecentWrites, OneThatWasForgottenAndBegunAgainStaysUntilItsOwnTime) {
  FakeClock clock;
  RecentWrites writes;
  writes.Begin("a", 1, clock.Read().mono);
  writes.Forget("a");
  clock.Advance(RecentWrites::kKeep - absl::Seconds(1));
  writes.Begin("a", 1, clock.Read().mono);
  clock.Advance(absl::Seconds(2));
  EXPECT_NE(writes.Find("a", clock.Read().mono), nullptr);
}

}  // namespace
}  // namespace fleet::device
