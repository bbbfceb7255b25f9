// The database: one file, written by one thread in transactions, read by others beside it. schema.sql is the layout.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/sqlite.h"
#include "server/boot.h"
#include "server/dtc_table.h"
#include "server/fleet_state.h"
#include "server/rows.h"
#include "server/telemetry_table.h"

namespace fleet::server {

// Used by one thread at a time.
class Store {
 public:
  static constexpr char kFileName[] = "fleet.db";

  struct Retention {
    absl::Duration keep = absl::Hours(168);
    int64_t keep_bytes = int64_t{4096} << 20;
  };
  // Of what was committed since the start.
  struct Counters {
    uint64_t nameless_samples = 0;  // stored without a name, because their device has too many signals
    uint64_t dtcs_refused = 0;      // events of trouble codes that `dtc` had no room for
  };

  // Makes the database when there is none and brings an older schema up to date. A file that is refused is not changed:
  // kDataLoss: damaged, with what to do; kFailedPrecondition: of a newer fleet-server or of another program.
  // kUnavailable: cannot be written.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path);
  ~Store();

  // Everything that FleetState continues from. Counts this start of the server. Its steady clock goes on: within a boot
  // exactly, whatever the wall clock did meanwhile; else from the wall clock, but never back.
  absl::StatusOr<SavedFleet> Load(const Boot& boot);

  // All batches in one transaction, or nothing. kUnavailable: try again later; kDataLoss: damaged.
  absl::Status Write(const std::vector<RowBatch>& batches);

  const Counters& counters() const { return counters_; }

  // Deletes a little of the oldest history that retention does not keep. True: there is more.
  absl::StatusOr<bool> Prune(const Retention& retention, int64_t now_unix_ms);

 private:
  struct Writes;
  explicit Store(std::unique_ptr<Database> database);
  absl::Status Prepare();
  absl::Status WriteInOne(const std::vector<RowBatch>& batches, Counters& counters);
  absl::Status WriteBatch(const RowBatch& batch, Counters& counters);
  absl::Status WriteDevice(const DeviceRow& row);
  absl::Status WriteStreams(const RowBatch& batch, Counters& counters);
  absl::Status WriteQuarantine(const std::vector<QuarantineRow>& rows);
  absl::Status SetEnded(CommandId id, bool ended);
  absl::StatusOr<int64_t> LoadSteadyOffset(const Boot& boot);
  absl::Status WriteLoss(int64_t device, absl::string_view stream, const SequenceTracker::Saved& saved);
  // A step's worth of the oldest rows, as far as they are older than the cutoff. True: there were some.
  absl::StatusOr<bool> DeleteOldest(absl::string_view table, absl::string_view key, absl::string_view time,
                                    int64_t cutoff_unix_ms);
  absl::StatusOr<bool> PruneDtcs(int64_t cutoff_unix_ms);  // cleared ones
  absl::StatusOr<bool> PruneCommands(int64_t cutoff_unix_ms);

  std::unique_ptr<Database> database_;  // dies after the statements
  std::unique_ptr<Writes> writes_;
  std::unique_ptr<TelemetryTable> telemetry_;
  std::unique_ptr<DtcTable> dtcs_;
  Counters counters_;
};

}  // namespace fleet::server
