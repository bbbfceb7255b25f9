#include "server/telemetry_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <tuple>
#include <vector>

namespace fleet::server {
namespace {

using ::testing::ElementsAre;

// Signals 7 and 9 in turn, 100 ms apart.
v1::TelemetryBlock GoodBlock() {
  v1::TelemetryBlock block;
  block.add_signals(7);
  block.add_signals(9);
  for (uint32_t i = 0; i < 3; ++i) {
    block.add_signal(i % 2);
    block.add_after_ms(i == 0 ? 5 : 100);
    block.add_value(i + 0.5);
  }
  return block;
}

using Seen = std::vector<std::tuple<int, int64_t, int64_t, double>>;

Seen SamplesOf(const v1::TelemetryBlock& block, int64_t first_unix_ms) {
  Seen seen;
  ForEachSample(block, first_unix_ms, [&seen](int index, int64_t signal, int64_t at_unix_ms, double value) {
    seen.emplace_back(index, signal, at_unix_ms, value);
  });
  return seen;
}

TEST(TelemetryBlock, GivesEachSampleWithItsNumberAndTime) {
  v1::TelemetryBlock block;
  ASSERT_TRUE(ParseBlock(GoodBlock().SerializeAsString(), block).ok());
  EXPECT_EQ(SamplesOf(block, 1000), (Seen{{0, 7, 1005, 0.5}, {1, 9, 1105, 1.5}, {2, 7, 1205, 2.5}}));
}

TEST(TelemetryBlock, NoSamplesAreABlockToo) {
  v1::TelemetryBlock block;
  ASSERT_TRUE(ParseBlock("", block).ok());
  EXPECT_TRUE(SamplesOf(block, 0).empty());
}

TEST(TelemetryBlock, ColumnsThatDoNotFitAreDamage) {
  const std::function<void(v1::TelemetryBlock&)> damages[] = {
      [](auto& b) { b.add_signal(0); },      [](auto& b) { b.add_after_ms(1); }, [](auto& b) { b.add_value(1); },
      [](auto& b) { b.set_signal(1, 2); },   [](auto& b) { b.clear_signals(); }, [](auto& b) { b.clear_value(); },
      [](auto& b) { b.set_signal(2, ~0u); },
  };
  for (const auto& damage : damages) {
    v1::TelemetryBlock block = GoodBlock();
    damage(block);
    v1::TelemetryBlock out;
    EXPECT_TRUE(absl::IsDataLoss(ParseBlock(block.SerializeAsString(), out))) << block.ShortDebugString();
  }
}

TEST(TelemetryBlock, EveryCutAndEveryFlippedBitIsSurvived) {
  const std::string good = GoodBlock().SerializeAsString();
  v1::TelemetryBlock out;
  for (size_t size = 0; size < good.size(); ++size) {
    if (ParseBlock(good.substr(0, size), out).ok()) SamplesOf(out, 0);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    if (ParseBlock(bad, out).ok()) SamplesOf(out, std::numeric_limits<int64_t>::max());
  }
}

TEST(TelemetryBlock, TimesThatCannotBeAreTheNearestThatCan) {
  v1::TelemetryBlock block = GoodBlock();
  block.set_after_ms(0, -2000);
  block.set_after_ms(1, kMaxUnixMs + 5000);
  block.set_after_ms(2, std::numeric_limits<int64_t>::max());  // wraps
  std::vector<int64_t> times;
  for (const auto& sample : SamplesOf(block, 1000)) times.push_back(std::get<2>(sample));
  EXPECT_THAT(times, ElementsAre(0, kMaxUnixMs, 0));
}

}  // namespace
}  // namespace fleet::server
