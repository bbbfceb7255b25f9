// A database for tests of the store, and a look into it as another program has it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/testing/temp_dir.h"
#include "server/store.h"
#include "server/store_reader.h"
#include "server/telemetry_slice.h"

namespace fleet::server {

class StoreFile {
 public:
  const std::string& path() const { return path_; }
  std::unique_ptr<Store> Open() const {
    auto store = Store::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  std::unique_ptr<StoreReader> Reader() const { return *StoreReader::Open(path_); }
  int64_t Query(const std::string& sql) const {
    auto database = Database::Open(path_, Database::Mode::kReadOnly);
    auto query = (*database)->Prepare(sql);
    EXPECT_TRUE(query.ok()) << query.status();
    EXPECT_TRUE(*query->Step()) << sql;
    return query->Int(0);
  }
  void Exec(const std::string& sql) const {
    auto database = Database::Open(path_, Database::Mode::kReadWrite);
    const absl::Status status = (*database)->Exec(sql);
    ASSERT_TRUE(status.ok()) << status;
  }

 private:
  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
};

struct TestSample {
  std::string signal;
  int64_t at_unix_ms = 0;
  double value = 0;
};

// As a device packs them.
inline v1::TelemetryBatch BatchOf(const std::vector<TestSample>& samples, uint64_t first_seq = 1) {
  v1::TelemetryBatch batch;
  batch.set_epoch(1);
  batch.set_first_seq(first_seq);
  batch.set_first_unix_ms(static_cast<uint64_t>(samples.front().at_unix_ms));
  int64_t before_unix_ms = samples.front().at_unix_ms;
  for (const TestSample& sample : samples) {
    int index = 0;
    while (index < batch.signals_size() && batch.signals(index) != sample.signal) ++index;
    if (index == batch.signals_size()) batch.add_signals(sample.signal);
    batch.add_signal(static_cast<uint32_t>(index));
    batch.add_after_ms(sample.at_unix_ms - std::exchange(before_unix_ms, sample.at_unix_ms));
    batch.add_value(sample.value);
  }
  return batch;
}

// Received when the last of them was taken.
inline TelemetryRow RowOf(int64_t device_row, const v1::TelemetryBatch& batch) {
  const uint64_t first = batch.first_seq();
  TelemetryRow row = SliceTelemetry(batch, {first, first + static_cast<uint64_t>(batch.value_size()) - 1});
  row.device_row = device_row;
  row.received_unix_ms = row.last_unix_ms;
  return row;
}
inline TelemetryRow RowOf(int64_t device_row, const std::vector<TestSample>& samples, uint64_t first_seq = 1) {
  return RowOf(device_row, BatchOf(samples, first_seq));
}

}  // namespace fleet::server
