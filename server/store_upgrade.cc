#include "server/store_upgrade.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "server/store_schema.h"
#include "server/telemetry_table.h"

namespace fleet::server {
namespace {

constexpr int kStepRows = 1000;
constexpr int64_t kLogRows = 100'000;  // some seconds

struct Progress {
  int64_t taken = 0;
  int64_t unreadable = 0;
  uint64_t nameless_samples = 0;
};

TelemetryRow RowOf(const Statement& query) {
  return {.device_row = query.Int(1),
          .epoch = static_cast<uint32_t>(query.Int(2)),
          .first_seq = static_cast<uint64_t>(query.Int(3)),
          .samples = static_cast<uint64_t>(query.Int(4)),
          .first_unix_ms = query.Int(5),
          .last_unix_ms = query.Int(6),
          .received_unix_ms = query.Int(7),
          .backlog = query.Int(8) != 0,
          .batch = std::string(query.Blob(9))};
}

// False: nothing was left.
absl::StatusOr<bool> Step(Database& database, TelemetryTable& table, Progress& progress) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  ASSIGN_OR_RETURN(Statement query, database.Prepare("SELECT * FROM telemetry_of_2 ORDER BY block LIMIT ?"));
  query.BindInt(1, kStepRows);
  int64_t last = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    last = query.Int(0);
    const absl::StatusOr<uint64_t> nameless = table.Write(RowOf(query), last);
    if (nameless.ok()) {
      ++progress.taken;
      progress.nameless_samples += *nameless;
    } else if (absl::IsInvalidArgument(nameless.status())) {
      if (progress.unreadable++ > 0) continue;  // their number is logged at the end
      LogWarn("telemetry of the old schema left out block={} error={}", last, nameless.status().message());
    } else {
      return nameless.status();
    }
  }
  if (last == 0) return false;
  RETURN_IF_ERROR(table.Finish());
  RETURN_IF_ERROR(database.Exec(absl::StrCat("DELETE FROM telemetry_of_2 WHERE block <= ", last)));
  RETURN_IF_ERROR(transaction.Commit());
  return true;
}

}  // namespace

absl::Status TakeOverTelemetry(Database& database) {
  ASSIGN_OR_RETURN(const int64_t is_there,
                   QueryInt(database, "SELECT count(*) FROM sqlite_master WHERE name = 'telemetry_of_2'"));
  if (is_there == 0) return absl::OkStatus();
  // Not counted: that would read all of it. Blocks are numbered with hardly a gap.
  ASSIGN_OR_RETURN(const int64_t rows,
                   QueryInt(database, "SELECT coalesce(max(block) - min(block) + 1, 0) FROM telemetry_of_2"));
  ASSIGN_OR_RETURN(const std::unique_ptr<TelemetryTable> table, TelemetryTable::Open(database));
  LogInfo("database upgrade begins telemetry_rows={}", rows);
  Progress progress;
  for (bool more = true; more;) {
    const int64_t before = progress.taken;
    ASSIGN_OR_RETURN(more, Step(database, *table, progress));
    if (before / kLogRows == progress.taken / kLogRows) continue;
    LogInfo("database upgrade goes on telemetry_rows={} of={}", progress.taken, rows);
  }
  RETURN_IF_ERROR(database.Exec("DROP TABLE telemetry_of_2"));
  LogInfo("database upgrade done telemetry_rows={} unreadable={} nameless_samples={}", progress.taken,
          progress.unreadable, progress.nameless_samples);
  return absl::OkStatus();
}

}  // namespace fleet::server
