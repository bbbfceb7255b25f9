#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "common/clock.h"
#include "tests/sim/world.h"

namespace fleet {
namespace {

// Heartbeats only: with state reports at 10 Hz an hour would be 360 million messages more and prove nothing else.
WorldOptions GreatFleet(uint64_t seed) {
  return {.devices = 10'000, .seed = seed, .state_rate_hz = 0, .keep_truth = false};
}

struct Outcome {
  uint64_t hash;
  uint64_t messages;
  double seconds;
};

Outcome RunGreatFleet(absl::Duration d, uint64_t seed) {
  const SystemClock clock;
  const MonoTime began = clock.Read().mono;
  World world(GreatFleet(seed));
  world.RunFor(d);
  EXPECT_EQ(world.Count(server::LivenessState::kOnline), world.size());
  for (size_t i = 0; i < world.size(); ++i) EXPECT_EQ(world.Seen(i).heartbeats.missing(), 0u);
  const absl::Duration took = clock.Read().mono - began;
  return {.hash = world.hash(), .messages = world.messages(), .seconds = absl::ToDoubleSeconds(took)};
}

TEST(GreatFleet, MinuteOfTenThousandDevicesIsTheSameTwiceAndDifferentWithAnotherSeed) {
  const uint64_t first = RunGreatFleet(absl::Minutes(1), 1).hash;
  EXPECT_EQ(RunGreatFleet(absl::Minutes(1), 1).hash, first);
  EXPECT_NE(RunGreatFleet(absl::Minutes(1), 2).hash, first);
}

TEST(GreatFleet, HourOfTenThousandDevicesPassesWithNothingMissing) {
  const Outcome run = RunGreatFleet(absl::Minutes(FLEET_SIM_MINUTES), 1);
  EXPECT_GE(run.messages, FLEET_SIM_MINUTES * 1'790'000u);  // 20 000 heartbeats and 10 000 beats a second
  std::cout << FLEET_SIM_MINUTES << " minutes: " << run.seconds << " s, " << run.messages << " messages, hash "
            << run.hash << "\n";
  RecordProperty("seconds", std::to_string(run.seconds));
  RecordProperty("messages", std::to_string(run.messages));
}

}  // namespace
}  // namespace fleet
