#include "server/store_writer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/logging.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kRetryPause = absl::Seconds(1);
constexpr absl::Duration kPrunePause = absl::Seconds(10);  // when there is nothing to prune
constexpr absl::Duration kPruneStep = absl::Milliseconds(200);

size_t BytesOf(const CommandStepRow& row) {
  return sizeof(row) + row.reason.size() + row.detail.size();
}
size_t BytesOf(const DeviceRow& row) {
  return sizeof(row) + row.block.samples.size() + row.entities.size() * sizeof(EntityRow);
}
size_t BytesOf(const EventRow& row) {
  const v1::Dtc& dtc = row.event.dtc();
  return sizeof(row) + row.event.name().size() + row.event.detail().size() + dtc.bus().size() + dtc.protocol().size() +
         dtc.code().size() + dtc.status().size();
}
size_t BytesOf(const TelemetryRow& row) {
  return sizeof(row) + row.batch.size();
}
size_t BytesOf(const StreamAccountRow& row) {
  return sizeof(row) + row.ranges.size();
}
size_t BytesOf(const QuarantineRow& row) {
  return sizeof(row) + row.topic.size() + row.detail.size() + row.payload.size();
}
template <typename RowT>
size_t BytesOf(const RowT& row) {
  return sizeof(row);
}

template <typename RowT>
size_t BytesOfAll(const std::vector<RowT>& rows) {
  size_t bytes = 0;
  for (const RowT& row : rows) bytes += BytesOf(row);
  return bytes;
}

size_t BytesOf(const RowBatch& b) {
  return sizeof(RowBatch) + BytesOfAll(b.devices) + BytesOfAll(b.liveness) + BytesOfAll(b.commands) +
         BytesOfAll(b.steps) + BytesOfAll(b.given_up) + BytesOfAll(b.events) + BytesOfAll(b.telemetry) +
         BytesOfAll(b.stream_accounts) + BytesOfAll(b.stream_totals) + BytesOfAll(b.quarantine);
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
  {
    MutexLock lock(mu_);
    health_.waiting_bytes += BytesOf(batch);
    waiting_.push_back(std::move(batch));
    DropPast(kMaxWaitingBytes);
  }
  cv_.NotifyAll();
}

StoreWriter::Health StoreWriter::health() const {
  MutexLock lock(mu_);
  return health_;
}

bool StoreWriter::keeps_up() const {
  MutexLock lock(mu_);
  return health_.error.empty() && health_.waiting_bytes < kMaxWaitingBytes / 2;
}

std::vector<uint64_t> StoreWriter::TakeLost() {
  MutexLock lock(mu_);
  return std::exchange(lost_, {});
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
      Refused(one[0], status);
    }
  }
}

void StoreWriter::Refused(const RowBatch& batch, const absl::Status& status) {
  LogError("rows refused by the database rows={} error={}", batch.size(), status.message());
  MutexLock lock(mu_);
  health_.dropped_rows += batch.size();
  health_.waiting_bytes -= BytesOf(batch);
  lost_.push_back(batch.number);
}

void StoreWriter::Written(std::vector<RowBatch>& batches) {
  {
    MutexLock lock(mu_);
    if (!health_.error.empty()) LogInfo("store works again");
    health_.error.clear();
    health_.counters = store_->counters();
    for (const RowBatch& batch : batches) {
      health_.committed_rows += batch.size();
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
  size_t thinned = 0;
  for (; thinned + 1 < waiting_.size() && health_.waiting_bytes > max_bytes; ++thinned) {
    RowBatch& batch = waiting_[thinned];
    RowBatch& next = waiting_[thinned + 1];
    if (batch.devices.empty() && batch.liveness.empty() && batch.quarantine.empty()) continue;
    health_.waiting_bytes -= BytesOf(batch) + BytesOf(next);
    Thin(batch, next);
    health_.waiting_bytes += BytesOf(batch) + BytesOf(next);
  }
  // The commit of a later one says that of an empty one too.
  const auto end = waiting_.begin() + static_cast<ptrdiff_t>(thinned);
  const auto kept = std::remove_if(waiting_.begin(), end, [](const RowBatch& batch) { return batch.empty(); });
  health_.waiting_bytes -= static_cast<size_t>(end - kept) * sizeof(RowBatch);
  waiting_.erase(kept, end);
}

// Takes out the history. How each device stands moves to the next batch, unless that says it newer.
void StoreWriter::Thin(RowBatch& batch, RowBatch& next) {
  health_.dropped_rows += batch.liveness.size() + batch.quarantine.size();
  batch.liveness.clear();
  batch.quarantine.clear();
  absl::flat_hash_set<int64_t> newer;
  for (const DeviceRow& row : next.devices) newer.insert(row.device_row);
  for (auto row = batch.devices.rbegin(); row != batch.devices.rend(); ++row) {
    if (row->block.count > 0) ++health_.dropped_rows;
    row->block = {};
    row->entities.clear();
    if (newer.insert(row->device_row).second) next.devices.push_back(std::move(*row));
  }
  batch.devices.clear();
}

void StoreWriter::PruneALittle() {
  const Now now = clock_.Read();
  if (now.mono < next_prune_) return;
  const absl::StatusOr<bool> more = store_->Prune(retention_, now.unix_ms());
  if (!more.ok()) LogWarn("history not pruned error={}", more.status().message());
  next_prune_ = now.mono + (more.ok() && *more ? kPruneStep : kPrunePause);
}

}  // namespace fleet::server
