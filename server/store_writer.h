// Writes to the store on a thread of its own: whatever waits goes into one transaction, and the loop is told.
//
// When the store fails (disk full, directory gone) batches wait and are tried again every second. Past kMaxWaitingBytes
// the oldest state reports, liveness changes and quarantined messages are dropped, counted. The rest stays: it is
// bounded because nobody hands in commands or records of streams while keeps_up() is false. The rest of the server goes
// on meanwhile.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "server/store.h"

namespace fleet::server {

class StoreWriter {
 public:
  static constexpr size_t kMaxWaitingBytes = 24 << 20;  // two minutes of a thousand devices at 10 reports/s

  struct Health {
    std::string error;  // empty: works
    uint64_t committed_rows = 0;
    uint64_t dropped_rows = 0;
    uint64_t failed_writes = 0;
    size_t waiting_bytes = 0;
    Store::Counters counters;
  };

  // `committed` gets the number of the newest batch that is on the disk, on the writer's thread.
  StoreWriter(std::unique_ptr<Store> store, const Store::Retention& retention, const Clock& clock,
              std::function<void(uint64_t)> committed);
  ~StoreWriter();  // writes what waits, if the store works

  void Push(RowBatch batch);  // never blocks on the disk
  Health health() const;
  // The store works, and what waits is far below its bound.
  bool keeps_up() const;
  // Numbers of batches that the database refused for good, each told once, in order. One that was lost before a commit
  // is among them when `committed` is called.
  std::vector<uint64_t> TakeLost();

  // Writes what waits and ends. Not ok: what could not be written is lost.
  absl::Status Stop();

 private:
  void Run();
  // True: there is something to write or to prune, or it is time to stop.
  bool WaitForWork(std::vector<RowBatch>& batches) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteAll(std::vector<RowBatch>& batches);
  void Written(std::vector<RowBatch>& batches);
  void Failed(std::vector<RowBatch>& batches, const absl::Status& status);
  void Refused(const RowBatch& batch, const absl::Status& status);
  void DropPast(size_t max_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Thin(RowBatch& batch, RowBatch& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PruneALittle();

  const std::unique_ptr<Store> store_;  // the writer's thread only
  const Store::Retention retention_;
  const Clock& clock_;
  const std::function<void(uint64_t)> committed_;
  MonoTime next_prune_;  // the writer's thread only
  MonoTime retry_at_;    // the writer's thread only

  mutable Mutex mu_;
  CondVar cv_;
  std::deque<RowBatch> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<uint64_t> lost_ ABSL_GUARDED_BY(mu_);
  Health health_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool gave_up_ ABSL_GUARDED_BY(mu_) = false;  // a write failed while stopping
  std::thread thread_;
};

}  // namespace fleet::server
