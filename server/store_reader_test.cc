#include "server/store_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/testing/temp_dir.h"
#include "server/store.h"
#include "server/testing/sample_rows.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kStart = 1'760'000'000'000;
constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();

class StoreReaderTest : public testing::Test {
 protected:
  StoreReaderTest() {
    auto store = Store::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto reader = StoreReader::Open(path_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    reader_ = *std::move(reader);
    RowBatch batch{.devices = {SampleDevice(1, "a"), SampleDevice(2, "b")}};
    EXPECT_TRUE(store_->Write({batch}).ok());
  }

  // 1 s per block, 10 reports in each; seq counts on from block to block.
  void WriteBlocks(int count, const std::vector<uint32_t>& entities) {
    RowBatch batch;
    for (int i = 0; i < count; ++i) {
      batch.devices.push_back(SampleDevice(1, "a"));
      batch.devices.back().block = SampleBlock(kStart + 1000 * i, static_cast<uint32_t>(10 * i + 1), 10, entities);
    }
    ASSERT_TRUE(store_->Write({batch}).ok());
  }
  v1::History Page(uint32_t entity, int64_t since_unix_ms, absl::string_view cursor, int limit) {
    auto page = reader_->History("a", EntityId{entity}, since_unix_ms, cursor, limit);
    EXPECT_TRUE(page.ok()) << page.status();
    return *std::move(page);
  }
  // x_mm of every sample of all pages.
  std::vector<int> ReadAll(uint32_t entity, int64_t since_unix_ms, int limit) {
    std::vector<int> all;
    std::string cursor;
    do {
      const v1::History page = Page(entity, since_unix_ms, cursor, limit);
      EXPECT_LE(page.samples_size(), limit);
      for (const v1::HistorySample& sample : page.samples()) all.push_back(sample.x_mm());
      EXPECT_NE(cursor, page.next_cursor().empty() ? "none" : page.next_cursor()) << "does not go on";
      cursor = page.next_cursor();
    } while (!cursor.empty());
    return all;
  }
  std::vector<uint64_t> CommandIds(absl::string_view device, uint64_t before, int limit) {
    auto commands = reader_->ListCommands(device, CommandId{before}, limit);
    EXPECT_TRUE(commands.ok()) << commands.status();
    std::vector<uint64_t> ids;
    for (const auto& command : *commands) ids.push_back(Number(command.row.id));
    return ids;
  }

  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreReader> reader_;
};

std::vector<int> Numbers(int first, int last) {
  std::vector<int> numbers;
  for (int i = first; i <= last; ++i) numbers.push_back(i);
  return numbers;
}

TEST_F(StoreReaderTest, HistoryShowsEachSampleAsItCame) {
  WriteBlocks(1, {7, 9});
  const v1::History page = Page(9, 0, "", 100);
  EXPECT_EQ(page.device_id(), "a");
  EXPECT_EQ(page.entity_id(), 9u);
  EXPECT_EQ(page.next_cursor(), "");
  ASSERT_THAT(page.samples(), SizeIs(10));
  EXPECT_EQ(page.samples(2).received_unix_ms(), kStart + 200);
  EXPECT_EQ(page.samples(2).sent_unix_ms(), 3);
  EXPECT_EQ(page.samples(2).x_mm(), 3);
  EXPECT_EQ(page.samples(2).y_mm(), -9);
}

TEST_F(StoreReaderTest, PagesOfAnySizeShowEachSampleOnce) {
  WriteBlocks(5, {1, 2});
  for (int limit : {1, 3, 7, 10, 20, 49, 50, 51, 1000}) {
    EXPECT_EQ(ReadAll(2, 0, limit), Numbers(1, 50)) << "limit " << limit;
  }
}

TEST_F(StoreReaderTest, BlocksThatEndAtTheSameMillisecondAreAllShown) {
  RowBatch batch;
  for (uint32_t seq = 1; seq <= 6; ++seq) {
    batch.devices.push_back(SampleDevice(1, "a"));
    batch.devices.back().block = SampleBlock(kStart, seq, 1, {1});
  }
  ASSERT_TRUE(store_->Write({batch}).ok());
  EXPECT_EQ(ReadAll(1, 0, 2), Numbers(1, 6));
}

TEST_F(StoreReaderTest, SinceLeavesOutWhatCameBefore) {
  WriteBlocks(3, {1});
  EXPECT_EQ(ReadAll(1, kStart + 1500, 4), Numbers(16, 30));
  EXPECT_EQ(ReadAll(1, kStart + 2900, 4), Numbers(30, 30));
  EXPECT_THAT(ReadAll(1, kStart + 2901, 4), IsEmpty());
}

TEST_F(StoreReaderTest, WhatArrivesBetweenPagesIsOnALaterOne) {
  WriteBlocks(1, {1});
  const v1::History first = Page(1, 0, "", 4);
  RowBatch batch{.devices = {SampleDevice(1, "a")}};
  batch.devices[0].block = SampleBlock(kStart + 1000, 11, 10, {1});
  ASSERT_TRUE(store_->Write({batch}).ok());
  EXPECT_THAT(Page(1, 0, first.next_cursor(), 100).samples(), SizeIs(16));
}

// Whole weeks would have to be read for an entity that never was.
TEST_F(StoreReaderTest, OnePageReadsABoundedPartOfTheHistory) {
  WriteBlocks(2500, {1});
  const v1::History first = Page(99, 0, "", 10);
  EXPECT_THAT(first.samples(), IsEmpty());
  EXPECT_NE(first.next_cursor(), "");
  EXPECT_THAT(ReadAll(99, 0, 10), IsEmpty());
}

TEST_F(StoreReaderTest, WrongCursorsAreRefused) {
  WriteBlocks(1, {1});
  const std::string negative_sample = absl::StrCat(kStart, ".1.-5");
  for (const std::string& cursor : {std::string("x"), std::string("1.2"), std::string("1.2.3.4"), std::string("1..3"),
                                    std::string("1.2.x"), std::string("99999999999999999999.1.1"), negative_sample}) {
    EXPECT_TRUE(absl::IsInvalidArgument(reader_->History("a", EntityId{1}, 0, cursor, 10).status())) << cursor;
  }
  EXPECT_THAT(Page(1, 0, absl::StrCat(kStart, ".1.2000000000"), 10).samples(), IsEmpty());
}

TEST_F(StoreReaderTest, UnknownDevicesAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(reader_->History("c", EntityId{1}, 0, "", 10).status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->Liveness("c", kMaxInt, 10).status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->ListCommands("c", CommandId{9}, 10).status()));
}

TEST_F(StoreReaderTest, CommandsComeNewestFirstInPages) {
  RowBatch batch;
  for (uint64_t id = 1; id <= 5; ++id) {
    batch.commands.push_back(SampleCommand(id, id % 2 == 0 ? 2 : 1));
    batch.steps.push_back(SampleStep(id, 0, v1::COMMAND_STATE_QUEUED));
    batch.steps.push_back(SampleStep(id, 1, v1::COMMAND_STATE_SENT));
  }
  ASSERT_TRUE(store_->Write({batch}).ok());
  EXPECT_THAT(CommandIds("", kMaxInt, 3), ElementsAre(5, 4, 3));
  EXPECT_THAT(CommandIds("", 3, 3), ElementsAre(2, 1));
  EXPECT_THAT(CommandIds("a", kMaxInt, 2), ElementsAre(5, 3));
  EXPECT_THAT(CommandIds("a", 3, 2), ElementsAre(1));
  EXPECT_THAT(CommandIds("b", 2, 2), IsEmpty());
}

TEST_F(StoreReaderTest, FindCommandShowsRowStepsAndDevice) {
  ASSERT_TRUE(
      store_
          ->Write({{.commands = {SampleCommand(8, 2), SampleCommand(10, 2)},
                    .steps = {SampleStep(8, 0, v1::COMMAND_STATE_QUEUED), SampleStep(8, 1, v1::COMMAND_STATE_DONE)}}})
          .ok());
  const auto found = reader_->FindCommand(CommandId{8});
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->device_id, "b");
  EXPECT_EQ((*found)->row.ttl_ms, 5000);
  EXPECT_EQ(std::get<v1::Segment>((*found)->row.body).end_x_mm(), -1000);
  ASSERT_THAT((*found)->steps, SizeIs(2));
  EXPECT_EQ((*found)->steps[1].state, v1::COMMAND_STATE_DONE);
  for (uint64_t id :
       {uint64_t{0}, uint64_t{9}, uint64_t{11}, static_cast<uint64_t>(kMaxInt), std::numeric_limits<uint64_t>::max()}) {
    const auto none = reader_->FindCommand(CommandId{id});
    EXPECT_TRUE(none.ok() && !none->has_value()) << id;
  }
}

TEST_F(StoreReaderTest, LivenessComesNewestFirstInPages) {
  RowBatch batch;
  for (int i = 1; i <= 5; ++i) {
    const bool on = i % 2 == 1;
    batch.liveness.push_back({.device_row = 1,
                              .status = {on ? LivenessState::kOnline : LivenessState::kOffline,
                                         on ? OfflineReason::kNone : OfflineReason::kSilent},
                              .at_unix_ms = kStart + i});
    batch.liveness.push_back({.device_row = 2, .status = {}, .at_unix_ms = 0});
  }
  ASSERT_TRUE(store_->Write({batch}).ok());
  std::vector<int> seen;
  int64_t before = kMaxInt;
  for (int pages = 0; pages < 3; ++pages) {
    const auto page = reader_->Liveness("a", before, 2);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const v1::LivenessView& change : page->changes()) {
      const int i = static_cast<int>(static_cast<int64_t>(change.at_unix_ms()) - kStart);
      seen.push_back(i);
      EXPECT_EQ(change.device_id(), "a");
      EXPECT_EQ(change.state(), i % 2 == 1 ? "online" : "offline");
      EXPECT_EQ(change.reason(), i % 2 == 1 ? "" : "silent");
    }
    if (page->next_cursor().empty()) break;
    ASSERT_TRUE(absl::SimpleAtoi(page->next_cursor(), &before));
  }
  EXPECT_THAT(seen, ElementsAre(5, 4, 3, 2, 1));
}

}  // namespace
}  // namespace fleet::server
