// That chaos is the same twice, and that its checks find what they are there to find: each test breaks one promise and
// expects the complaint.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "tests/sim/chaos.h"

namespace fleet {
namespace {

TEST(Chaos, SameSeedIsTheSameRunAndAnotherIsNot) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const uint64_t first = RunChaos({.seed = seed}).hash;
    EXPECT_EQ(RunChaos({.seed = seed}).hash, first) << "seed " << seed;
    EXPECT_NE(RunChaos({.seed = seed + 1}).hash, first) << "seed " << seed;
  }
}

// What no longer happens is no longer tested.
TEST(Chaos, ReachesEveryFaultAndEveryEnd) {
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    for (const auto& [what, count] : RunChaos({.seed = seed}).counts) counts[what] += count;
  }
  for (const char* what : {"kill",
                           "stop",
                           "start",
                           "freeze",
                           "thaw",
                           "cut off",
                           "heal",
                           "restart",
                           "connection lost of",
                           "wall clock jumps on",
                           "fill the disk of",
                           "clear the disk of",
                           "lose the disk of",
                           "other faults of the",
                           "one batch is refused by the database of",
                           "command done ",
                           "command superseded ",
                           "command expired expired",
                           "command expired not_sent",
                           "command cancelled operator",
                           "command cancelled cancelled",
                           "command cancelled stopped",
                           "command cancelled fail_safe",
                           "command failed fail_safe",
                           "command failed device_restarted",
                           "command rejected unknown_entity",
                           "command rejected spool_failed",
                           "command unknown memory_lost",
                           "records stored",
                           "records dropped DROP_REASON_CRASH",
                           "records dropped DROP_REASON_SPOOL_FULL",
                           "records dropped DROP_REASON_TOO_OLD"}) {
    EXPECT_GT(counts[what], 0u) << what;
  }
}

// Something is complained of that has all of `words` in it, in one of the first seeds.
testing::AssertionResult IsNoticed(const std::function<void(WorldOptions&)>& sabotage, const std::string& words) {
  std::string heard;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    for (const std::string& complaint : RunChaos({.seed = seed, .sabotage = sabotage}).complaints) {
      if (complaint.find(words) != std::string::npos) return testing::AssertionSuccess();
      heard += complaint + "\n";
    }
  }
  return testing::AssertionFailure() << "nobody said \"" << words << "\" but:\n" << heard.substr(0, 2000);
}

TEST(Sabotage, DeviceThatForgetsItsCommandsIsNoticed) {
  EXPECT_TRUE(
      IsNoticed([](WorldOptions& world) { world.disk = SimDisk::Options{.forgets_commands = true}; }, "started twice"));
}

TEST(Sabotage, DiskThatDoesNotKeepIsNoticed) {
  EXPECT_TRUE(IsNoticed([](WorldOptions& world) { world.disk = SimDisk::Options{.loses_puts = true}; },
                        "lost without a cause"));
}

TEST(Sabotage, DatabaseThatLosesReceiptedRecordsIsNoticed) {
  EXPECT_TRUE(IsNoticed([](WorldOptions& world) { world.store.loses_records = true; }, "got a receipt for"));
}

TEST(Sabotage, SteadyClockThatFollowsTheWallIsNoticed) {
  EXPECT_TRUE(IsNoticed([](WorldOptions& world) { world.store.steady_follows_wall = true; }, "clock_unknown"));
}

TEST(Sabotage, FailSafeThatComesLateIsNoticed) {
  EXPECT_TRUE(
      IsNoticed([](WorldOptions& world) { world.wrong_fail_safe_after = absl::Seconds(4); }, "after the last beat"));
}

TEST(Sabotage, HastyDeclarationOfDeathIsNoticed) {
  EXPECT_TRUE(IsNoticed([](WorldOptions& world) { world.fleet.liveness.offline_after = absl::Milliseconds(1700); },
                        "offline silent after"));
}

}  // namespace
}  // namespace fleet
