#include "server/store_writer.h"

#include <utility>

#include "common/logging.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kRetryPause = absl::Seconds(1);
constexpr absl::Duration kPrunePause = absl::Seconds(10);  // when there is nothing to prune
constexpr absl::Duration kPruneStep = absl::Milliseconds(200);

size_t RowsOf(const RowBatch& b) {
  return b.devices.size() + b.liveness.size() + b.commands.size() + b.steps.size();
}

size_t BytesOf(const RowBatch& batch) {
  size_t bytes = sizeof(RowBatch) + batch.devices.size() * sizeof(DeviceRow) +
                 batch.liveness.size() * sizeof(LivenessRow) + batch.commands.size() * sizeof(CommandRow) +
                 batch.steps.size() * sizeof(CommandStepRow);
  for (const DeviceRow& row : batch.devices) {
    bytes += row.block.samples.size() + row.entities.size() * sizeof(EntityRow);
  }
  return bytes;
}

// Another try may succeed: there may be space again.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

}  // namespace

StoreWriter::StoreWriter(std::unique_ptr<Store> store, const Store::Retention& retention, const Clock& clock,
                         std::function<void(uint64_t)> committed)
    : store_(std::move(store)), retention_(retention), clock_(clock), committed_(std::move(committed)), thread_([this] {
        Run();
      }) {}

StoreWriter::~StoreWriter() {
  (void)Stop();
}

void StoreWriter::Push(RowBatch batch) {
  MutexLock lock(mu_);
  health_.waiting_bytes += BytesOf(batch);
  waiting_.push_back(std::move(batch));
  DropPast(kMaxWaitingBytes);
  cv_.NotifyAll();
}

StoreWriter::Health StoreWriter::health() const {
  MutexLock lock(mu_);
  return health_;
}

absl::Status StoreWriter::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    cv_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mu_);
  if (waiting_.empty()) return absl::OkStatus();
  return absl::UnavailableError(health_.error);
}

void StoreWriter::Run() {
  std::vector<RowBatch> batches;
  while (true) {
    {
      MutexLock lock(mu_);
      if (!WaitForWork(batches)) return;
    }
    if (!batches.empty()) WriteAll(batches);
    PruneALittle();
  }
}

bool StoreWriter::WaitForWork(std::vector<RowBatch>& batches) {
  batches.clear();
  if (gave_up_) return false;
  while (!stopping_) {  // what is pushed meanwhile waits too
    const absl::Duration pause = retry_at_ - clock_.Read().mono;
    if (pause <= absl::ZeroDuration()) break;
    cv_.WaitFor(mu_, pause);
  }
  while (waiting_.empty() && !stopping_) {
    const absl::Duration pause = next_prune_ - clock_.Read().mono;
    if (pause <= absl::ZeroDuration()) return true;
    cv_.WaitFor(mu_, pause);
  }
  for (RowBatch& batch : waiting_) batches.push_back(std::move(batch));
  waiting_.clear();
  return !batches.empty() || !stopping_;
}

void StoreWriter::WriteAll(std::vector<RowBatch>& batches) {
  absl::Status status = store_->Write(batches);
  if (status.ok()) return Written(batches);
  if (MayPass(status)) return Failed(batches, status);
  // One of them can never be written. Alone each tells which; the others must not suffer.
  std::vector<RowBatch> one(1);
  for (size_t i = 0; i < batches.size(); ++i) {
    one[0] = std::move(batches[i]);
    status = store_->Write(one);
    if (status.ok()) {
      Written(one);
    } else if (MayPass(status)) {
      batches[i] = std::move(one[0]);
      batches.erase(batches.begin(), batches.begin() + static_cast<ptrdiff_t>(i));
      return Failed(batches, status);
    } else {
      LogError("rows refused by the database rows={} error={}", RowsOf(one[0]), status.message());
      MutexLock lock(mu_);
      health_.dropped_rows += RowsOf(one[0]);
      health_.waiting_bytes -= BytesOf(one[0]);
    }
  }
}

void StoreWriter::Written(std::vector<RowBatch>& batches) {
  {
    MutexLock lock(mu_);
    if (!health_.error.empty()) LogInfo("store works again");
    health_.error.clear();
    for (const RowBatch& batch : batches) {
      health_.committed_rows += RowsOf(batch);
      health_.waiting_bytes -= BytesOf(batch);
    }
  }
  committed_(batches.back().number);
}

void StoreWriter::Failed(std::vector<RowBatch>& batches, const absl::Status& status) {
  MutexLock lock(mu_);
  if (health_.error != status.message()) LogError("store fails, will try again error={}", status.message());
  health_.error = std::string(status.message());
  ++health_.failed_writes;
  retry_at_ = clock_.Read().mono + kRetryPause;
  gave_up_ = stopping_;
  for (auto batch = batches.rbegin(); batch != batches.rend(); ++batch) waiting_.push_front(std::move(*batch));
  DropPast(kMaxWaitingBytes);
}

void StoreWriter::DropPast(size_t max_bytes) {
  while (health_.waiting_bytes > max_bytes && waiting_.size() > 1) {
    health_.waiting_bytes -= BytesOf(waiting_.front());
    health_.dropped_rows += RowsOf(waiting_.front());
    waiting_.pop_front();
  }
}

void StoreWriter::PruneALittle() {
  const Now now = clock_.Read();
  if (now.mono < next_prune_) return;
  const absl::StatusOr<bool> more = store_->Prune(retention_, now.unix_ms());
  if (!more.ok()) LogWarn("history not pruned error={}", more.status().message());
  next_prune_ = now.mono + (more.ok() && *more ? kPruneStep : kPrunePause);
}

}  // namespace fleet::server
