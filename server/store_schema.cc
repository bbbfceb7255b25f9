#include "server/store_schema.h"

#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "server/schema_sql.h"
#include "server/store_upgrade.h"

namespace fleet::server {
namespace {

constexpr int kSchemaVersion = 3;
constexpr int kApplicationId = 0x466c6565;        // "Flee": tells our files from those of other programs
constexpr uintmax_t kCheckWholeBytes = 64 << 20;  // a whole check of this much takes well under a second

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("the database ", path, " is damaged (", absl::StrReplaceAll(what, {{"\n", " "}}),
                   "); it was left as it is. Put back a backup, or save what can be read with: sqlite3 ", path,
                   " .recover | sqlite3 recovered.db; or move it away to start empty"));
}

absl::Status CheckWhole(Database& database, uintmax_t file_bytes) {
  // A large file is checked where a start depends on it; the history is checked by its readers.
  const bool small = file_bytes <= kCheckWholeBytes;
  for (const char* check :
       {small ? "PRAGMA quick_check(1)" : "PRAGMA quick_check(device)", "PRAGMA quick_check(loss)"}) {
    ASSIGN_OR_RETURN(Statement query, database.Prepare(check));
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (found && query.Text(0) != "ok") return absl::DataLossError(query.Text(0));
  }
  return absl::OkStatus();
}

// Is it ours, not too new, and whole? Looked at without a right to write, so that what we refuse stays as it is.
absl::Status CheckFile(const std::string& path) {
  std::error_code error;
  const uintmax_t file_bytes = std::filesystem::file_size(path, error);
  if (error || file_bytes == 0) return absl::OkStatus();  // is made, or opening it for writing says why not
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> database, Database::Open(path, Database::Mode::kReadOnly));
  ASSIGN_OR_RETURN(const int64_t tables, QueryInt(*database, "SELECT count(*) FROM sqlite_master"));
  if (tables == 0) return absl::OkStatus();  // a start that was cut short
  ASSIGN_OR_RETURN(const int64_t application, QueryInt(*database, "PRAGMA application_id"));
  if (application != kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a database of another program"));
  }
  ASSIGN_OR_RETURN(const int64_t version, QueryInt(*database, "PRAGMA user_version"));
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the database ", path, " has schema version ", version,
                                                      ", this fleet-server knows ", kSchemaVersion,
                                                      ": run the newer fleet-server"));
  }
  return CheckWhole(*database, file_bytes);
}

absl::Status FillMeta(Database& database) {
  // Ids of a fresh database start anywhere, so that devices which remember commands of a lost one refuse none of ours;
  // below 2^27, so that an id stays four bytes on the wire for a long time.
  std::random_device seed;
  const int64_t first_command = std::uniform_int_distribution<int64_t>(1, 1 << 27)(seed);
  return database.Exec(absl::StrCat("INSERT INTO meta VALUES ('server_epoch', 0), ('first_command', ", first_command,
                                    "); PRAGMA application_id = ", kApplicationId));
}

// Version 1 knew only segments, in a table that now is laid out otherwise; the rest of 2 is new.
constexpr char kSetAsideCommands[] =
    "DROP INDEX command_open; DROP INDEX command_of_device; ALTER TABLE command RENAME TO command_of_1;";
constexpr char kTakeOverCommands[] =
    "INSERT INTO command SELECT id, device, 4, segment, issued_unix_ms, ttl_ms, ended FROM command_of_1;"
    "DROP TABLE command_of_1;";

absl::Status BringUpToDate(Database& database, int64_t version) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  if (version == 1) RETURN_IF_ERROR(database.Exec(kSetAsideCommands));
  if (version == 2) RETURN_IF_ERROR(database.Exec(kSetAsideTelemetry));
  RETURN_IF_ERROR(database.Exec(kSchemaSql));
  if (version == 0) RETURN_IF_ERROR(FillMeta(database));
  if (version == 1) RETURN_IF_ERROR(database.Exec(kTakeOverCommands));
  RETURN_IF_ERROR(database.Exec(absl::StrCat("PRAGMA user_version = ", kSchemaVersion)));
  return transaction.Commit();
}

absl::Status Migrate(Database& database) {
  ASSIGN_OR_RETURN(const int64_t version, QueryInt(database, "PRAGMA user_version"));
  if (version != kSchemaVersion) RETURN_IF_ERROR(BringUpToDate(database, version));
  return TakeOverTelemetry(database);
}

}  // namespace

absl::StatusOr<int64_t> QueryInt(Database& database, absl::string_view sql) {
  ASSIGN_OR_RETURN(Statement query, database.Prepare(sql));
  ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? query.Int(0) : 0;
}

absl::StatusOr<std::unique_ptr<Database>> OpenCurrent(const std::string& path) {
  absl::Status status = CheckFile(path);
  if (absl::IsDataLoss(status)) return Damaged(path, status.message());
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path, Database::Mode::kReadWrite));
  RETURN_IF_ERROR(Migrate(*database));
  return database;
}

}  // namespace fleet::server
