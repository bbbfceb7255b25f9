// Questions about the past, answered from the database beside the writer. Any thread; one question at a time.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "common/sqlite.h"
#include "fleet/v1/api.pb.h"
#include "server/store_rows.h"

namespace fleet::server {

class StoreReader {
 public:
  static absl::StatusOr<std::unique_ptr<StoreReader>> Open(const std::string& path);

  struct StoredCommand {
    CommandRow row;
    std::vector<CommandStepRow> steps;
    std::string device_id;
  };
  // nullopt: no such command, or no longer kept.
  absl::StatusOr<std::optional<StoredCommand>> FindCommand(CommandId id);
  // Newest first, ids below `before`. `device_id` empty: all devices.
  absl::StatusOr<std::vector<StoredCommand>> ListCommands(absl::string_view device_id, CommandId before, int limit);

  // Samples of one entity received at or after `since_unix_ms`, oldest first, at most `limit`; fewer, or none, when a
  // page has read much without finding so many: as long as there is a next_cursor it goes on. `cursor`: empty, or the
  // next_cursor of the page before; kInvalidArgument when it is neither.
  absl::StatusOr<v1::History> History(absl::string_view device_id, EntityId entity, int64_t since_unix_ms,
                                      absl::string_view cursor, int limit);
  // Newest first, changes below `before`.
  absl::StatusOr<v1::LivenessHistory> Liveness(absl::string_view device_id, int64_t before, int limit);
  // Newest first, numbers below `before`. `device_id` empty: all devices.
  absl::StatusOr<v1::EventList> Events(absl::string_view device_id, int64_t before, int limit);
  absl::StatusOr<v1::QuarantineList> Quarantine(int64_t before, int limit);

  struct TelemetryQuestion {
    std::string device_id;
    std::vector<std::string> signals;                             // none: all that have a name
    int64_t since_unix_ms = 0;                                    // by the device's clock, at or after
    int64_t until_unix_ms = std::numeric_limits<int64_t>::max();  // before
    std::string cursor;                                           // empty, or the next_cursor of the page before
    int limit = 100;
  };
  // As api.proto says. A page may have fewer samples than there are, or none, when it has read much; at_end says that
  // it is the last one now. kNotFound: no such device or signal; kInvalidArgument: the cursor is none.
  absl::StatusOr<v1::TelemetryList> Telemetry(const TelemetryQuestion& question);
  absl::StatusOr<v1::SignalList> Signals(absl::string_view device_id);
  // Changes below `before`. `device_id` empty: all devices.
  struct DtcQuestion {
    std::string device_id;
    bool active_only = false;
    int64_t before = std::numeric_limits<int64_t>::max();
    int limit = 100;
  };
  absl::StatusOr<v1::DtcList> Dtcs(const DtcQuestion& question);

 private:
  explicit StoreReader(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  // kNotFound: no such device.
  static absl::StatusOr<int64_t> DeviceRowOf(Database& database, absl::string_view device_id);

  Mutex mu_;
  const std::unique_ptr<Database> database_ ABSL_PT_GUARDED_BY(mu_);
};

}  // namespace fleet::server
