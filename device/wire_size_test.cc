// The sizes that docs/protocol.md section 2 promises, of what the agent really publishes.
#include <gtest/gtest.h>

#include <limits>

#include "common/signing.h"
#include "common/testing/fake_clock.h"
#include "device/agent.h"
#include "device/external_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

constexpr Pose kOrdinary{
    .x_mm = -1'000'000, .y_mm = 1'000'000, .angle_mdeg = 180'000, .vx_mm_s = 8'000, .vy_mm_s = -8'000};
constexpr Pose kWorst{.x_mm = std::numeric_limits<int32_t>::min(),
                      .y_mm = std::numeric_limits<int32_t>::min(),
                      .angle_mdeg = std::numeric_limits<int32_t>::min(),
                      .vx_mm_s = std::numeric_limits<int32_t>::min(),
                      .vy_mm_s = std::numeric_limits<int32_t>::min()};

// The first publication on `topic` of an agent whose entities, with ids up to `highest_id`, are at `pose`.
size_t BytesOf(absl::string_view topic, uint32_t epoch, uint32_t entities, uint32_t highest_id, const Pose& pose) {
  FakeClock clock;
  AgentOptions options{.device = DeviceId::Parse("pi").value(), .epoch = epoch};
  for (uint32_t i = 0; i < entities; ++i) {
    options.entities.push_back({EntityId{highest_id - i}, std::make_unique<ExternalDriver>()});
  }
  Agent agent(std::move(options), clock);
  Effects effects;
  agent.Handle(LinkUp{}, clock, effects);
  for (uint32_t i = 0; i < entities; ++i) {
    agent.Handle(PoseFed{.entity = EntityId{highest_id - i}, .pose = pose}, clock, effects);
  }
  clock.Advance(absl::Milliseconds(100));
  agent.Tick(clock, effects);
  for (const Publication& publication : effects.publish) {
    if (publication.topic == topic) return publication.payload.size();
  }
  return 0;
}

size_t VarintBytes(uint64_t value) {
  return value < 128 ? 1 : 1 + VarintBytes(value >> 7);
}

// Numbers grow while the agent runs: what is measured at the first message is taken to the largest ordinary one.
constexpr uint32_t kLargestEpoch = (1u << 21) - 1;
constexpr uint32_t kLargestSeq = (1u << 28) - 1;

TEST(WireSize, HeartbeatIsAtMost16Bytes) {
  const size_t first = BytesOf("rpi/pi/heartbeat", kLargestEpoch, 1, 1, {});
  ASSERT_GT(first, 0);
  EXPECT_LE(first - VarintBytes(1) + VarintBytes(kLargestSeq), 16);
}

TEST(WireSize, StateOfOneEntityIsAtMost40BytesOrdinarily) {
  const size_t first = BytesOf("rpi/pi/state", 1000, 1, 100, kOrdinary);
  ASSERT_GT(first, 0);
  EXPECT_LE(first - VarintBytes(1) + VarintBytes(2'000'000), 40);  // two days at 10 Hz
}

TEST(WireSize, StateOfOneEntityIsAtMost64BytesAtTheWorst) {
  const uint32_t max = std::numeric_limits<uint32_t>::max();
  const size_t first = BytesOf("rpi/pi/state", max, 1, max, kWorst);
  ASSERT_GT(first, 0);
  EXPECT_LE(first - VarintBytes(1) + VarintBytes(max), 64);
}

TEST(WireSize, EachFurtherEntityIsAtMost24BytesOrdinarily) {
  const size_t ten = BytesOf("rpi/pi/state", 1, 10, 100, kOrdinary);
  const size_t eleven = BytesOf("rpi/pi/state", 1, 11, 100, kOrdinary);
  ASSERT_GT(ten, 0);
  EXPECT_LE(eleven - ten, 24);
}

TEST(WireSize, SignedSegmentIsAtMost64BytesOrdinarily) {
  FakeClock clock;
  v1::Command command = LineFor(100, 1'000'000, clock);  // the millionth command
  command.set_issued_unix_ms(1'760'000'000'000);
  v1::Segment& segment = *command.mutable_segment();
  segment.set_start_x_mm(-8'000);
  segment.set_start_y_mm(8'000);
  segment.set_end_x_mm(8'000);
  segment.set_end_y_mm(-8'000);
  EXPECT_LE(Signed(command, CommandKey::FromHex(std::string(64, '7')).value()).size(), 64);
}

}  // namespace
}  // namespace fleet::device
