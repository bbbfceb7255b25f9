#include "device/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include "common/sqlite.h"
#include "common/testing/fake_clock.h"
#include "common/testing/temp_dir.h"

namespace fleet::device {
namespace {

constexpr int64_t kNowMs = 1'760'000'000'000;

class SpoolFileTest : public testing::Test {
 protected:
  std::unique_ptr<SpoolFile> Open(SpoolBounds bounds = {}) {
    auto file = SpoolFile::Open(path_, bounds);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  static StreamBatch Batch(int64_t row, v1::Stream stream, uint64_t first_seq, uint32_t records = 1,
                           size_t bytes = 100) {
    return {.row = row,
            .stream = stream,
            .epoch = 1,
            .first_seq = first_seq,
            .records = records,
            .made_unix_ms = kNowMs,
            .payload = std::string(bytes, 'p')};
  }
  static SpoolWork Put(std::vector<StreamBatch> batches) {
    SpoolWork work;
    work.put = std::move(batches);
    return work;
  }
  static std::vector<int64_t> RowsIn(SpoolFile& file) {
    SpoolWork work;
    work.read = SpoolWork::Read{.after_row = 0, .max_bytes = 1 << 30};
    std::vector<int64_t> rows;
    for (const StreamBatch& batch : file.Do(std::move(work), kNowMs).read) rows.push_back(batch.row);
    return rows;
  }

  TempDir dir_;
  const std::string path_ = dir_.File("spool.db");
};

TEST_F(SpoolFileTest, WhatWasDoneIsThereAfterAnEndWithoutGoodbye) {
  const auto killed = Open();
  SpoolWork work = Put({Batch(1, v1::STREAM_EVENT, 1), Batch(2, v1::STREAM_TELEMETRY, 1, 20)});
  work.remember.push_back({.id = ~uint64_t{0},
                           .expires_ms = 5,
                           .entity_id = 3,
                           .is_barrier = true,
                           .state = v1::COMMAND_STATE_RUNNING,
                           .reason = "r",
                           .detail = "d"});
  work.memory_began_ms = 77;
  work.forgotten_up_to = 8;
  work.number = 4;
  const SpoolDone done = killed->Do(std::move(work), kNowMs);
  EXPECT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.number, 4);
  EXPECT_EQ(done.asked.put.size(), 2);
  EXPECT_EQ(done.totals.telemetry_records, 20);

  // The first one still holds the file, as a process does that was killed: nothing was closed.
  const auto file = Open();
  const SpoolContents& contents = file->contents();
  EXPECT_TRUE(contents.damaged.empty());
  EXPECT_EQ(contents.last_row, 2);
  EXPECT_EQ(contents.memory_began_ms, 77);
  EXPECT_EQ(contents.forgotten_up_to, 8);
  EXPECT_EQ(contents.totals.batches, 2);
  EXPECT_EQ(contents.totals.event_records, 1);
  ASSERT_EQ(contents.commands.size(), 1);
  EXPECT_EQ(contents.commands[0].id, ~uint64_t{0});
  EXPECT_TRUE(contents.commands[0].is_barrier);
  EXPECT_EQ(contents.commands[0].state, v1::COMMAND_STATE_RUNNING);
  ASSERT_EQ(contents.accounts.size(), 2);
  EXPECT_EQ(contents.accounts[1].stream(), v1::STREAM_TELEMETRY);
  EXPECT_EQ(contents.accounts[1].made(), 20);
  EXPECT_EQ(contents.accounts[1].waiting(), 20);
}

TEST_F(SpoolFileTest, ADamagedFileIsMovedAsideAndANewOneBegun) {
  Open()->Do(Put({Batch(1, v1::STREAM_EVENT, 1, 1, 50'000)}), kNowMs);
  const std::string bytes = ReadFile(path_);
  ASSERT_GT(bytes.size(), 20'000);
  for (const std::string& damage : {std::string("no database at all"), bytes.substr(0, 5000)}) {
    dir_.Write("spool.db", damage);
    const auto file = Open();
    EXPECT_FALSE(file->contents().damaged.empty());
    EXPECT_EQ(ReadFile(path_ + ".damaged"), damage);
    EXPECT_TRUE(file->Do(Put({Batch(1, v1::STREAM_EVENT, 1)}), kNowMs).status.ok());
  }
}

TEST_F(SpoolFileTest, AFileOfANewerAgentOrOfAnotherProgramStays) {
  Open();
  (*Database::Open(path_, Database::Mode::kReadWrite))->Exec("PRAGMA user_version = 99").IgnoreError();
  EXPECT_TRUE(absl::IsFailedPrecondition(SpoolFile::Open(path_, {}).status()));
  (*Database::Open(path_, Database::Mode::kReadWrite))->Exec("PRAGMA application_id = 1").IgnoreError();
  EXPECT_TRUE(absl::IsFailedPrecondition(SpoolFile::Open(path_, {}).status()));
}

TEST_F(SpoolFileTest, ADirectoryThatCannotBeWrittenIsUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(SpoolFile::Open(dir_.File("none/spool.db"), {}).status()));
}

TEST_F(SpoolFileTest, ReadsInOrderAndInPieces) {
  const auto file = Open();
  file->Do(Put({Batch(1, v1::STREAM_EVENT, 1), Batch(2, v1::STREAM_TELEMETRY, 1), Batch(3, v1::STREAM_EVENT, 2)}),
           kNowMs);
  SpoolWork read;
  read.read = SpoolWork::Read{.after_row = 1, .max_bytes = 50};
  const SpoolDone one = file->Do(read, kNowMs);
  ASSERT_EQ(one.read.size(), 1);
  EXPECT_EQ(one.read[0].row, 2);
  EXPECT_EQ(one.read[0].payload, std::string(100, 'p'));
  EXPECT_FALSE(one.read_to_end);
  read.read = SpoolWork::Read{.after_row = 2, .max_bytes = 50};
  EXPECT_TRUE(file->Do(read, kNowMs).read_to_end);
}

TEST_F(SpoolFileTest, OverItsBytesTheOldestTelemetryGoesFirstEventsLast) {
  const auto file = Open({.keep_bytes = 1000});
  for (int64_t row = 1; row <= 8; ++row) {
    file->Do(
        Put({Batch(row, row % 2 == 1 ? v1::STREAM_EVENT : v1::STREAM_TELEMETRY, static_cast<uint64_t>(row + 1) / 2)}),
        kNowMs);
  }
  const SpoolDone done = file->Do(Put({Batch(9, v1::STREAM_EVENT, 5, 1, 400)}), kNowMs);
  EXPECT_EQ(done.totals.payload_bytes, 1000);
  ASSERT_EQ(done.dropped.size(), 1);
  EXPECT_EQ(done.dropped[0].stream, v1::STREAM_TELEMETRY);
  EXPECT_EQ(done.dropped[0].range.first_seq(), 1);
  EXPECT_EQ(done.dropped[0].range.last_seq(), 2);
  EXPECT_EQ(done.dropped[0].range.reason(), v1::DROP_REASON_SPOOL_FULL);
  file->Do(Put({Batch(10, v1::STREAM_EVENT, 6, 1, 500)}), kNowMs);
  EXPECT_EQ(RowsIn(*file), (std::vector<int64_t>{7, 9, 10}));
  EXPECT_EQ(Open()->contents().accounts.at(1).dropped(0).last_seq(), 4) << "one range that grew";
}

TEST_F(SpoolFileTest, WhatIsTooOldGoesButNoJumpOfTheClockDropsAnything) {
  const auto file = Open({.keep_bytes = 1 << 20, .keep = absl::Hours(1)});
  StreamBatch no_clock = Batch(2, v1::STREAM_TELEMETRY, 2);
  no_clock.made_unix_ms = 5'000;  // 1970: made before the device was told the time
  file->Do(Put({Batch(1, v1::STREAM_TELEMETRY, 1), no_clock}), kNowMs);
  const int64_t hour_ms = 3'600'000;
  EXPECT_TRUE(file->Do({}, kNowMs - 100'000 * hour_ms).dropped.empty());
  EXPECT_TRUE(file->Do({}, kNowMs + hour_ms).dropped.empty());
  const SpoolDone done = file->Do({}, kNowMs + hour_ms + 120'000);
  ASSERT_EQ(done.dropped.size(), 1);
  EXPECT_EQ(done.dropped[0].range.reason(), v1::DROP_REASON_TOO_OLD);
  EXPECT_EQ(done.dropped[0].range.last_seq(), 1);
  EXPECT_EQ(RowsIn(*file), std::vector<int64_t>{2});
}

TEST_F(SpoolFileTest, SettledEpochsAreForgottenAndNumbersNeverGoBack) {
  const auto file = Open();
  SpoolWork work;
  work.made = {{.stream = v1::STREAM_EVENT, .epoch = 1, .made = 9},
               {.stream = v1::STREAM_EVENT, .epoch = 2, .made = 5}};
  file->Do(work, kNowMs);
  work.made = {{.stream = v1::STREAM_EVENT, .epoch = 2, .made = 4}};
  work.settled = {{.stream = v1::STREAM_EVENT, .epoch = 1, .made = 9}};
  file->Do(work, kNowMs);
  const auto again = Open();
  ASSERT_EQ(again->contents().accounts.size(), 1);
  EXPECT_EQ(again->contents().accounts[0].epoch(), 2);
  EXPECT_EQ(again->contents().accounts[0].made(), 5);
}

TEST_F(SpoolFileTest, ManyRangesStayFew) {
  const auto file = Open();
  SpoolWork work;
  for (uint64_t seq = 1; seq <= 400; seq += 2) {
    StreamDrop& drop = work.dropped.emplace_back(StreamDrop{.stream = v1::STREAM_TELEMETRY, .epoch = 1, .range = {}});
    drop.range.set_reason(v1::DROP_REASON_MEMORY_FULL);
    drop.range.set_first_seq(seq);
    drop.range.set_last_seq(seq);
  }
  EXPECT_TRUE(file->Do(work, kNowMs).status.ok());
  const v1::EpochAccount account = Open()->contents().accounts.at(0);
  EXPECT_LE(account.dropped_size(), 64);
  EXPECT_EQ(account.dropped(0).first_seq(), 1);
  EXPECT_EQ(account.dropped(account.dropped_size() - 1).last_seq(), 399);
}

TEST_F(SpoolFileTest, AFailureLeavesNothingBehindAndHarmsNoOtherWork) {
  const auto file = Open();
  const auto other = *Database::Open(path_, Database::Mode::kReadWrite);
  ASSERT_TRUE(
      other->Exec("CREATE TRIGGER no BEFORE INSERT ON batch WHEN NEW.row = 2 BEGIN SELECT RAISE(ABORT, 'no'); END")
          .ok());
  std::vector<SpoolWork> works;
  for (int64_t row = 1; row <= 3; ++row)
    works.push_back(Put({Batch(row, v1::STREAM_EVENT, static_cast<uint64_t>(row))}));
  const std::vector<SpoolDone> dones = file->DoAll(std::move(works), kNowMs);
  ASSERT_EQ(dones.size(), 3);
  EXPECT_TRUE(dones[0].status.ok());
  EXPECT_FALSE(dones[1].status.ok());
  EXPECT_TRUE(dones[2].status.ok());
  EXPECT_EQ(dones[2].totals.batches, 2);
  EXPECT_EQ(RowsIn(*file), (std::vector<int64_t>{1, 3}));
}

TEST_F(SpoolFileTest, TheFileDoesNotGrowWhenWhatComesGoesAgain) {
  const auto file = Open();
  for (int64_t row = 1; row <= 500; ++row) {
    SpoolWork work = Put({Batch(row, v1::STREAM_EVENT, static_cast<uint64_t>(row), 1, 1000)});
    if (row > 10) work.remove.push_back(row - 10);
    ASSERT_TRUE(file->Do(std::move(work), kNowMs).status.ok());
  }
  EXPECT_LT(std::filesystem::file_size(path_), 100'000);
  EXPECT_LT(std::filesystem::file_size(path_ + "-wal"), 2'000'000);
}

TEST_F(SpoolFileTest, TheThreadAnswersEachWorkAndDoesWhatWaitsBeforeItStops) {
  FakeClock clock;
  Mutex mu;
  std::vector<uint64_t> answered;
  Spool spool(Open(), clock, [&](SpoolDone done) {
    MutexLock lock(mu);
    EXPECT_TRUE(done.status.ok()) << done.status;
    answered.push_back(done.number);
  });
  for (uint64_t number = 1; number <= 50; ++number) {
    SpoolWork work = Put({Batch(static_cast<int64_t>(number), v1::STREAM_EVENT, number)});
    work.number = number;
    spool.Push(std::move(work));
  }
  spool.Stop();
  std::vector<uint64_t> expected(50);
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = i + 1;
  MutexLock lock(mu);
  EXPECT_EQ(answered, expected);
  EXPECT_EQ(Open()->contents().totals.batches, 50);
}

TEST_F(SpoolFileTest, AfterTheStopWorkIsRefusedWithAnAnswer) {
  FakeClock clock;
  std::vector<SpoolDone> dones;
  Spool spool(Open(), clock, [&](SpoolDone done) { dones.push_back(std::move(done)); });
  spool.Stop();
  spool.Push(Put({Batch(1, v1::STREAM_EVENT, 1)}));
  ASSERT_EQ(dones.size(), 1);
  EXPECT_TRUE(absl::IsResourceExhausted(dones[0].status));
  EXPECT_EQ(dones[0].asked.put.size(), 1);
}

}  // namespace
}  // namespace fleet::device
