#include "server/quarantine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace fleet::server {
namespace {

using ::testing::SizeIs;

TEST(Quarantine, KeepsWhatWasSaidAndWhyItWasRefused) {
  FakeClock clock;
  Quarantine quarantine;
  RowBatch rows;
  quarantine.Take("rpi/a/state", absl::string_view("\x00\xff", 2), absl::DataLossError("no StateReport"), clock.Read(),
                  rows);
  ASSERT_THAT(rows.quarantine, SizeIs(1));
  EXPECT_EQ(rows.quarantine[0].topic, "rpi/a/state");
  EXPECT_EQ(rows.quarantine[0].reason, "parse");
  EXPECT_EQ(rows.quarantine[0].detail, "no StateReport");
  EXPECT_EQ(rows.quarantine[0].payload, std::string("\x00\xff", 2));
  EXPECT_EQ(rows.quarantine[0].received_unix_ms, clock.Read().unix_ms());
}

TEST(Quarantine, CutsWhatIsLongAndSaysHowLongItWas) {
  FakeClock clock;
  Quarantine quarantine;
  RowBatch rows;
  quarantine.Take(std::string(1000, 't'), std::string(70'000, 'p'), absl::OutOfRangeError(""), clock.Read(), rows);
  EXPECT_THAT(rows.quarantine[0].topic, SizeIs(256));
  EXPECT_THAT(rows.quarantine[0].payload, SizeIs(4096));
  EXPECT_EQ(rows.quarantine[0].payload_bytes, 70'000u);
}

TEST(Quarantine, TakesTenASecondAndCountsTheRest) {
  FakeClock clock;
  Quarantine quarantine;
  RowBatch rows;
  const auto flood = [&] {
    for (int i = 0; i < 25; ++i) quarantine.Take("x", "y", absl::NotFoundError(""), clock.Read(), rows);
  };
  flood();
  EXPECT_THAT(rows.quarantine, SizeIs(10));
  clock.Advance(absl::Seconds(1));
  flood();
  EXPECT_THAT(rows.quarantine, SizeIs(20));
  EXPECT_EQ(quarantine.counters().kept, 20u);
  EXPECT_EQ(quarantine.counters().skipped, 30u);
}

}  // namespace
}  // namespace fleet::server
