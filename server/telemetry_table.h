// Telemetry on its way into the tables `telemetry` and `signal`: names become numbers, and each signal keeps its newest
// value. The writer's thread only, within its transactions.
//
// The numbers of the devices that were written lately are in memory, at most some kMaxInMemory of them; when there are
// more all are forgotten, and read again as they are needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/sqlite.h"
#include "fleet/v1/storage.pb.h"
#include "server/rows.h"

namespace fleet::server {

class TelemetryTable {
 public:
  static constexpr size_t kMaxSignals = 4096;         // of a device
  static constexpr size_t kMaxInMemory = 512 * 1024;  // some 80 MB with names of 64 bytes

  static absl::StatusOr<std::unique_ptr<TelemetryTable>> Open(Database& database);

  // Returns how many of the samples are stored without a name, because their signals are past kMaxSignals: they keep
  // their place, so that the books of the stream stay true. `block`: its number, 0 takes the next.
  // kInvalidArgument: the row holds no such batch, and nothing was written.
  absl::StatusOr<uint64_t> Write(const TelemetryRow& row, int64_t block = 0);
  // Writes the newest values: last in each transaction.
  absl::Status Finish();
  // The transaction was rolled back, and with it names that are known here.
  void Forget();

 private:
  struct Signal {
    int64_t number;
    int64_t at_unix_ms;
    double value = 0;  // of a changed one
    bool changed = false;
  };
  struct Device {
    absl::flat_hash_map<std::string, Signal*> signals;
    bool is_full = false;  // and that was logged
  };

  explicit TelemetryTable(Database& database) : database_(database) {}
  absl::StatusOr<Device*> DeviceOf(int64_t device_row);
  // nullptr: there is no room for it.
  absl::StatusOr<Signal*> FindOrAdd(int64_t device_row, Device& device, const std::string& name);
  Signal* Remember(Device& device, const std::string& name, int64_t number, int64_t at_unix_ms);
  // Turns batch_ into block_. Returns the samples without a name.
  absl::StatusOr<uint64_t> Pack(const TelemetryRow& row, Device& device);
  void Note(Signal& signal, int64_t at_unix_ms, double value, const TelemetryRow& row);

  Database& database_;
  Statement load_;
  Statement add_;
  Statement insert_;
  Statement newest_;
  absl::flat_hash_map<int64_t, Device> devices_;
  std::deque<Signal> signals_;    // of all devices
  std::vector<Signal*> changed_;  // since the last Finish

  // For one call of Write; kept for their memory.
  v1::TelemetryBatch batch_;
  v1::TelemetryBlock block_;
  std::vector<Signal*> in_block_;  // of block_.signals
  std::vector<int> index_of_;      // in block_.signals, of each name of batch_; -1: not yet
};

}  // namespace fleet::server
