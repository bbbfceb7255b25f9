#include "server/store_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/testing/shared_fake_clock.h"
#include "common/testing/temp_dir.h"
#include "server/telemetry_slice.h"
#include "server/testing/sample_rows.h"
#include "server/testing/stream_messages.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The database's log cannot grow: what a full disk does, for a process without rights to fill one.
class FullDisk {
 public:
  explicit FullDisk(const std::string& database) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = std::filesystem::file_size(database + "-wal");
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

class StoreWriterTest : public testing::Test {
 protected:
  void Start(const Store::Retention& retention = {}) {
    auto store = Store::Open(path_);
    ASSERT_TRUE(store.ok()) << store.status();
    writer_ = std::make_unique<StoreWriter>(*std::move(store), retention, clock_, [this](uint64_t number) {
      MutexLock lock(mu_);
      commits_.push_back(number);
      cv_.NotifyAll();
    });
  }
  void AwaitCommit(uint64_t number) {
    MutexLock lock(mu_);
    while (commits_.empty() || commits_.back() < number) cv_.Wait(mu_);
  }
  StoreWriter::Health AwaitHealth(const std::function<bool(const StoreWriter::Health&)>& wanted) {
    while (true) {
      StoreWriter::Health health = writer_->health();
      if (wanted(health)) return health;
      std::this_thread::yield();
    }
  }
  void AwaitFailure() {
    AwaitHealth([](const StoreWriter::Health& health) { return !health.error.empty(); });
  }
  int64_t Count(const std::string& table) {
    auto database = Database::Open(path_, Database::Mode::kReadOnly);
    auto query = (*database)->Prepare("SELECT count(*) FROM " + table);
    EXPECT_TRUE(*query->Step());
    return query->Int(0);
  }

  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
  SharedFakeClock clock_;
  Mutex mu_;
  CondVar cv_;
  std::vector<uint64_t> commits_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<StoreWriter> writer_;  // calls back: goes first
};

// `size_bytes` of one device.
constexpr int64_t kNeverOldMs = 4'000'000'000'000;  // so that nothing is pruned meanwhile

RowBatch BatchOf(uint64_t number, size_t size_bytes = 100) {
  RowBatch batch{.number = number, .devices = {SampleDevice(static_cast<int64_t>(number), absl::StrCat("d", number))}};
  batch.devices[0].block = {
      .first_unix_ms = kNeverOldMs, .last_unix_ms = kNeverOldMs, .count = 1, .samples = std::string(size_bytes, 's')};
  return batch;
}

TEST_F(StoreWriterTest, CommitsInOrderAndSaysHowFarItIs) {
  Start();
  for (uint64_t number = 1; number <= 50; ++number) writer_->Push(BatchOf(number));
  AwaitCommit(50);
  EXPECT_EQ(writer_->health().committed_rows, 50u);
  EXPECT_EQ(writer_->health().error, "");
  EXPECT_EQ(writer_->health().waiting_bytes, 0u);
  EXPECT_EQ(Count("device"), 50);
  MutexLock lock(mu_);
  EXPECT_TRUE(std::is_sorted(commits_.begin(), commits_.end()));
  EXPECT_EQ(commits_.back(), 50u);
}

TEST_F(StoreWriterTest, StopWritesEverything) {
  Start();
  for (uint64_t number = 1; number <= 200; ++number) writer_->Push(BatchOf(number));
  EXPECT_TRUE(writer_->Stop().ok());
  EXPECT_EQ(Count("device"), 200);
  EXPECT_TRUE(writer_->Stop().ok()) << "again is harmless";
}

TEST_F(StoreWriterTest, AFullDiskIsSaidAndNothingIsLostWhenThereIsRoomAgain) {
  Start();
  writer_->Push(BatchOf(1));
  AwaitCommit(1);
  {
    const FullDisk full(path_);
    writer_->Push(BatchOf(2, 50'000));
    AwaitFailure();
    writer_->Push(BatchOf(3, 50'000));
    const StoreWriter::Health health = writer_->health();
    EXPECT_THAT(health.error, HasSubstr(path_));
    EXPECT_EQ(health.committed_rows, 1u);
    EXPECT_EQ(health.dropped_rows, 0u);
    EXPECT_GT(health.waiting_bytes, 100'000u);
    EXPECT_EQ(Count("device"), 1) << "what is stored can be read";
  }
  clock_.Advance(absl::Seconds(1));
  writer_->Push(BatchOf(4));
  AwaitCommit(4);
  EXPECT_EQ(writer_->health().error, "");
  EXPECT_EQ(writer_->health().committed_rows, 4u);
  EXPECT_EQ(writer_->health().waiting_bytes, 0u);
  EXPECT_EQ(Count("device"), 4);
}

TEST_F(StoreWriterTest, WhileItFailsItTriesOnceASecondHoweverMuchIsPushed) {
  Start();
  writer_->Push(BatchOf(1));
  AwaitCommit(1);
  const FullDisk full(path_);
  writer_->Push(BatchOf(2, 50'000));
  AwaitFailure();
  for (uint64_t number = 3; number <= 500; ++number) {
    writer_->Push(BatchOf(number));
    std::this_thread::yield();
  }
  EXPECT_FALSE(writer_->Stop().ok());
  EXPECT_EQ(writer_->health().failed_writes, 2u) << "the first, and the last one before the end";
}

TEST_F(StoreWriterTest, OfWhatWaitsTheOldestHistoryIsDroppedAndCountedAndNothingElse) {
  Start();
  writer_->Push(BatchOf(1));
  AwaitCommit(1);
  {
    const FullDisk full(path_);
    for (uint64_t number = 2; number <= 40; ++number) {
      RowBatch batch = BatchOf(number, 1 << 20);
      batch.liveness = {{.device_row = 1, .status = {}, .at_unix_ms = kNeverOldMs}};
      batch.commands = {SampleCommand(number, 1)};
      batch.steps = {SampleStep(number, 0, v1::COMMAND_STATE_QUEUED)};
      batch.events = {{.device_row = 1, .epoch = 1, .seq = number, .received_unix_ms = kNeverOldMs}};
      batch.telemetry = {SliceTelemetry(SamplesOf(1, number, number), {number, number})};
      batch.telemetry[0].received_unix_ms = kNeverOldMs;
      batch.stream_accounts = {{.device_row = 1, .stream = v1::STREAM_EVENT, .epoch = static_cast<uint32_t>(number)}};
      writer_->Push(std::move(batch));
    }
    AwaitFailure();
    AwaitHealth([](const StoreWriter::Health& health) { return health.dropped_rows >= 2 * (39 - 24); });
    EXPECT_LE(writer_->health().waiting_bytes, StoreWriter::kMaxWaitingBytes);
    EXPECT_FALSE(writer_->keeps_up());
  }
  clock_.Advance(absl::Seconds(1));
  writer_->Push(BatchOf(41));
  AwaitCommit(41);
  EXPECT_TRUE(writer_->keeps_up());
  EXPECT_EQ(Count("device"), 41) << "how each stands is kept";
  EXPECT_LE(Count("state_history"), 41 - (39 - 24));
  EXPECT_GE(Count("state_history"), 20);
  EXPECT_EQ(Count("liveness"), Count("state_history") - 2) << "the first and the last batch had none";
  EXPECT_EQ(Count("command"), 39);
  EXPECT_EQ(Count("command_step"), 39);
  EXPECT_EQ(Count("event"), 39);
  EXPECT_EQ(Count("telemetry"), 39);
  EXPECT_EQ(Count("stream_account"), 39);
  EXPECT_EQ(writer_->health().waiting_bytes, 0u);
}

TEST_F(StoreWriterTest, HistoryAloneLeavesNothingBehindWhenItIsDropped) {
  Start();
  writer_->Push(BatchOf(1));
  AwaitCommit(1);
  const FullDisk full(path_);
  for (uint64_t number = 2; number <= 2000; ++number) {
    RowBatch batch = BatchOf(1, 100'000);  // always the same device
    batch.number = number;
    writer_->Push(std::move(batch));
  }
  AwaitFailure();
  EXPECT_LE(writer_->health().waiting_bytes, StoreWriter::kMaxWaitingBytes);
}

TEST_F(StoreWriterTest, ABatchThatCanNeverBeWrittenIsDroppedAlone) {
  Start();
  RowBatch good = BatchOf(1);
  good.commands = {SampleCommand(5, 1)};
  RowBatch bad = BatchOf(2);
  bad.commands = {SampleCommand(5, 1)};  // the id is taken
  writer_->Push(good);
  writer_->Push(bad);
  writer_->Push(BatchOf(3));
  AwaitCommit(3);
  EXPECT_TRUE(writer_->Stop().ok());
  const StoreWriter::Health health = writer_->health();
  EXPECT_EQ(health.dropped_rows, 2u);
  EXPECT_EQ(health.committed_rows, 3u);
  EXPECT_EQ(health.waiting_bytes, 0u);
  EXPECT_EQ(health.error, "");
  EXPECT_EQ(Count("device"), 2);
  MutexLock lock(mu_);
  EXPECT_EQ(std::count(commits_.begin(), commits_.end(), 2u), 0);
  EXPECT_THAT(writer_->TakeLost(), ElementsAre(2));
  EXPECT_THAT(writer_->TakeLost(), IsEmpty());
}

TEST_F(StoreWriterTest, StopWhileItFailsSaysWhatIsLostAtOnce) {
  Start();
  writer_->Push(BatchOf(1));
  AwaitCommit(1);
  const FullDisk full(path_);
  writer_->Push(BatchOf(2, 50'000));
  AwaitFailure();
  const absl::Status status = writer_->Stop();  // the clock stands still: it cannot wait for the next try
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
}

TEST_F(StoreWriterTest, ItPrunesBesideItsWork) {
  Start({.keep = absl::Hours(1)});
  writer_->Push({.number = 1, .liveness = {{.device_row = 1, .status = {}, .at_unix_ms = 1}}});
  AwaitCommit(1);
  clock_.Advance(absl::Seconds(11));
  writer_->Push(BatchOf(2));
  EXPECT_TRUE(writer_->Stop().ok());
  EXPECT_EQ(Count("liveness"), 0);
}

}  // namespace
}  // namespace fleet::server
