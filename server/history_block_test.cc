#include "server/history_block.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "fleet/v1/storage.pb.h"

namespace fleet::server {
namespace {

v1::StateBlock Read(const HistoryBlock::Row& row) {
  v1::StateBlock block;
  EXPECT_TRUE(block.ParseFromString(row.samples));
  EXPECT_EQ(static_cast<uint32_t>(block.samples_size()), row.count);
  return block;
}

TEST(HistoryBlock, ReadsBackAsAStateBlock) {
  HistoryBlock block;
  EXPECT_TRUE(block.empty());
  block.Append(1'000'000, "first");
  block.Append(1'000'100, "");
  block.Append(1'000'900, std::string("\0\xff", 2));
  const HistoryBlock::Row row = block.Take();
  EXPECT_EQ(row.first_unix_ms, 1'000'000);
  EXPECT_EQ(row.last_unix_ms, 1'000'900);
  const v1::StateBlock read = Read(row);
  ASSERT_EQ(read.samples_size(), 3);
  EXPECT_EQ(read.samples(0).report(), "first");
  EXPECT_EQ(read.samples(0).received_delta_ms(), 0u);
  EXPECT_EQ(read.samples(1).report(), "");
  EXPECT_EQ(read.samples(1).received_delta_ms(), 100u);
  EXPECT_EQ(read.samples(2).report(), std::string("\0\xff", 2));
  EXPECT_EQ(read.samples(2).received_delta_ms(), 900u);
}

TEST(HistoryBlock, TakeLeavesItEmptyAndTheNextBlockStandsAlone) {
  HistoryBlock block;
  block.Append(1000, "old");
  block.Take();
  EXPECT_TRUE(block.empty());
  block.Append(5000, "new");
  const HistoryBlock::Row row = block.Take();
  EXPECT_EQ(row.first_unix_ms, 5000);
  ASSERT_EQ(Read(row).samples_size(), 1);
  EXPECT_EQ(Read(row).samples(0).report(), "new");
}

TEST(HistoryBlock, ReportsOfEverySizeSurvive) {
  std::mt19937 random(1);
  for (size_t size : {0u, 1u, 100u, 127u, 128u, 16'383u, 16'384u, 65'536u}) {
    HistoryBlock block;
    std::string report(size, '\0');
    for (char& c : report) c = static_cast<char>(random());
    block.Append(0, report);
    block.Append(70'000'000, report);  // a delta of four bytes
    const v1::StateBlock read = Read(block.Take());
    ASSERT_EQ(read.samples_size(), 2);
    EXPECT_EQ(read.samples(0).report(), report);
    EXPECT_EQ(read.samples(1).report(), report);
    EXPECT_EQ(read.samples(1).received_delta_ms(), 70'000'000u);
  }
}

// A reader looks for blocks by [first, last] and adds the delta to first: both must agree whatever the clock did.
void ExpectRangeCoversSamples(const HistoryBlock::Row& row) {
  const v1::StateBlock read = Read(row);
  for (const v1::StateSample& sample : read.samples()) {
    EXPECT_LE(row.first_unix_ms + sample.received_delta_ms(), row.last_unix_ms);
  }
}

TEST(HistoryBlock, WallClockSetBackKeepsTheBlocksFirstTime) {
  HistoryBlock block;
  block.Append(1'000'000, "before");
  block.Append(1'000'200, "middle");
  block.Append(10, "after");
  const HistoryBlock::Row row = block.Take();
  ExpectRangeCoversSamples(row);
  const v1::StateBlock read = Read(row);
  ASSERT_EQ(read.samples_size(), 3);
  EXPECT_EQ(read.samples(2).received_delta_ms(), 0u);
  EXPECT_EQ(row.last_unix_ms, 1'000'200);
}

TEST(HistoryBlock, WallClockSetForwardByDecadesDoesNotWrapAround) {
  HistoryBlock block;
  block.Append(0, "1970");
  block.Append(1'760'000'000'000, "2025");
  const HistoryBlock::Row row = block.Take();
  ExpectRangeCoversSamples(row);
  EXPECT_EQ(Read(row).samples(1).received_delta_ms(), UINT32_MAX);  // as far as it can say
}

TEST(HistoryBlock, SaysWhenItIsFull) {
  HistoryBlock block;
  const std::string report(64 * 1024, 'x');
  int appended = 0;
  while (!block.full()) {
    block.Append(appended, report);
    ++appended;
  }
  EXPECT_EQ(appended, 4);
  EXPECT_EQ(block.Take().count, 4u);
  EXPECT_FALSE(block.full());
}

}  // namespace
}  // namespace fleet::server
