#include "server/store.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <random>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "server/schema_sql.h"
#include "server/store_rows.h"

namespace fleet::server {
namespace {

constexpr int kSchemaVersion = 1;
constexpr int kApplicationId = 0x466c6565;        // "Flee": tells our files from those of other programs
constexpr uintmax_t kCheckWholeBytes = 64 << 20;  // a whole check of this much takes well under a second
constexpr int kPruneRows = 2000;                  // per step and table: some milliseconds

absl::StatusOr<int64_t> QueryInt(Database& database, absl::string_view sql) {
  ASSIGN_OR_RETURN(Statement query, database.Prepare(sql));
  ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? query.Int(0) : 0;
}

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

absl::Status Migrate(Database& database) {
  ASSIGN_OR_RETURN(const int64_t version, QueryInt(database, "PRAGMA user_version"));
  if (version == kSchemaVersion) return absl::OkStatus();
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  RETURN_IF_ERROR(database.Exec(kSchemaSql));
  // Ids of a fresh database start anywhere, so that devices which remember commands of a lost one refuse none of ours;
  // below 2^27, so that an id stays four bytes on the wire for a long time.
  std::random_device seed;
  const int64_t first_command = std::uniform_int_distribution<int64_t>(1, 1 << 27)(seed);
  RETURN_IF_ERROR(database.Exec(absl::StrCat("INSERT INTO meta VALUES ('server_epoch', 0), ('first_command', ",
                                             first_command, "); PRAGMA application_id = ", kApplicationId,
                                             "; PRAGMA user_version = ", kSchemaVersion)));
  return transaction.Commit();
}

absl::StatusOr<bool> IsOver(Database& database, int64_t keep_bytes) {
  ASSIGN_OR_RETURN(const int64_t pages, QueryInt(database, "PRAGMA page_count"));
  ASSIGN_OR_RETURN(const int64_t free, QueryInt(database, "PRAGMA freelist_count"));
  ASSIGN_OR_RETURN(const int64_t page_bytes, QueryInt(database, "PRAGMA page_size"));
  return (pages - free) * page_bytes > keep_bytes;
}

}  // namespace

struct Store::Writes {
  Statement device;
  Statement entity;
  Statement block;
  Statement loss;
  Statement liveness;
  Statement command;
  Statement step;
  Statement ended;
};

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  absl::Status status = CheckFile(path);
  if (absl::IsDataLoss(status)) return Damaged(path, status.message());
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path, Database::Mode::kReadWrite));
  RETURN_IF_ERROR(Migrate(*database));
  std::unique_ptr<Store> store(new Store(std::move(database)));
  RETURN_IF_ERROR(store->Prepare());
  return store;
}

absl::Status Store::Prepare() {
  ASSIGN_OR_RETURN(
      Statement device,
      database_->Prepare("INSERT INTO device VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (device) DO UPDATE SET "
                         "epoch=excluded.epoch, started_unix_ms=excluded.started_unix_ms, "
                         "version=excluded.version, state=excluded.state, reason=excluded.reason, "
                         "state_since_unix_ms=excluded.state_since_unix_ms, "
                         "last_seen_unix_ms=excluded.last_seen_unix_ms"));
  ASSIGN_OR_RETURN(Statement entity, database_->Prepare("INSERT OR REPLACE INTO entity VALUES (?,?,?,?,?,?,?,?)"));
  ASSIGN_OR_RETURN(Statement block, database_->Prepare("INSERT INTO state_history VALUES (NULL,?,?,?,?,?)"));
  ASSIGN_OR_RETURN(Statement loss, database_->Prepare("INSERT OR REPLACE INTO loss VALUES (?,?,?,?,?,?,?,?,?)"));
  ASSIGN_OR_RETURN(Statement liveness, database_->Prepare("INSERT INTO liveness VALUES (NULL,?,?,?,?)"));
  ASSIGN_OR_RETURN(Statement command, database_->Prepare("INSERT INTO command VALUES (?,?,?,?,?,0)"));
  ASSIGN_OR_RETURN(Statement step, database_->Prepare("INSERT OR REPLACE INTO command_step VALUES (?,?,?,?,?,?,?)"));
  ASSIGN_OR_RETURN(Statement ended, database_->Prepare("UPDATE command SET ended = ? WHERE id = ?"));
  writes_ =
      std::make_unique<Writes>(Writes{std::move(device), std::move(entity), std::move(block), std::move(loss),
                                      std::move(liveness), std::move(command), std::move(step), std::move(ended)});
  return absl::OkStatus();
}

absl::Status Store::Write(const std::vector<RowBatch>& batches) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  for (const RowBatch& batch : batches) RETURN_IF_ERROR(WriteBatch(batch));
  return transaction.Commit();
}

absl::Status Store::WriteBatch(const RowBatch& batch) {
  for (const DeviceRow& row : batch.devices) RETURN_IF_ERROR(WriteDevice(row));
  for (const LivenessRow& row : batch.liveness) {
    Statement& insert = writes_->liveness;
    insert.BindInt(1, row.device_row);
    insert.BindInt(2, row.at_unix_ms);
    insert.BindText(3, Name(row.status.state));
    insert.BindText(4, Name(row.status.reason));
    RETURN_IF_ERROR(insert.Run());
  }
  for (const CommandRow& row : batch.commands) {
    BindCommand(row, writes_->command);
    RETURN_IF_ERROR(writes_->command.Run());
  }
  for (const CommandStepRow& row : batch.steps) {
    BindStep(row, writes_->step);
    RETURN_IF_ERROR(writes_->step.Run());
    writes_->ended.BindInt(1, HasEnded(row.state) ? 1 : 0);
    writes_->ended.BindInt(2, static_cast<int64_t>(Number(row.id)));
    RETURN_IF_ERROR(writes_->ended.Run());
  }
  return absl::OkStatus();
}

absl::Status Store::WriteDevice(const DeviceRow& row) {
  BindDevice(row, writes_->device);
  RETURN_IF_ERROR(writes_->device.Run());
  for (const EntityRow& entity : row.entities) {
    BindEntity(row.device_row, entity, writes_->entity);
    RETURN_IF_ERROR(writes_->entity.Run());
  }
  RETURN_IF_ERROR(WriteLoss(row.device_row, "heartbeat", row.heartbeats));
  RETURN_IF_ERROR(WriteLoss(row.device_row, "state", row.states));
  if (row.block.count == 0) return absl::OkStatus();
  Statement& insert = writes_->block;
  insert.BindInt(1, row.device_row);
  insert.BindInt(2, row.block.first_unix_ms);
  insert.BindInt(3, row.block.last_unix_ms);
  insert.BindInt(4, row.block.count);
  insert.BindBlob(5, row.block.samples);
  return insert.Run();
}

absl::Status Store::WriteLoss(int64_t device, absl::string_view stream, const SequenceTracker::Saved& saved) {
  BindLoss(device, stream, saved, writes_->loss);
  return writes_->loss.Run();
}

absl::StatusOr<SavedFleet> Store::Load() {
  SavedFleet fleet;
  RETURN_IF_ERROR(database_->Exec("UPDATE meta SET value = value + 1 WHERE key = 'server_epoch'"));
  ASSIGN_OR_RETURN(const int64_t epoch, QueryInt(*database_, "SELECT value FROM meta WHERE key = 'server_epoch'"));
  ASSIGN_OR_RETURN(const int64_t next, QueryInt(*database_,
                                                "SELECT max((SELECT value FROM meta WHERE key = 'first_command'), "
                                                "coalesce((SELECT max(id) + 1 FROM command), 0))"));
  fleet.server_epoch = static_cast<uint32_t>(epoch);
  fleet.next_command = CommandId{static_cast<uint64_t>(next)};
  RETURN_IF_ERROR(LoadDevices(*database_, fleet.devices));
  RETURN_IF_ERROR(LoadOpenCommands(*database_, fleet.open_commands));
  return fleet;
}

absl::StatusOr<bool> Store::Prune(const Retention& retention, int64_t now_unix_ms) {
  int64_t cutoff = now_unix_ms - absl::ToInt64Milliseconds(retention.keep);
  int64_t state_cutoff = cutoff;
  ASSIGN_OR_RETURN(const bool over, IsOver(*database_, retention.keep_bytes));
  if (over) {
    // States are the bulk of it: the rest is kept as far back as they go.
    ASSIGN_OR_RETURN(const int64_t oldest_state,
                     QueryInt(*database_, absl::StrCat("SELECT coalesce((SELECT first_unix_ms FROM state_history ORDER "
                                                       "BY block LIMIT 1), ",
                                                       now_unix_ms + 1, ")")));
    if (oldest_state <= now_unix_ms + 1) cutoff = std::max(cutoff, oldest_state);  // not after a jump of the clock
  }
  ASSIGN_OR_RETURN(const bool changes, DeleteOldest("liveness", "change", "at_unix_ms", cutoff));
  ASSIGN_OR_RETURN(const bool commands, PruneCommands(cutoff));
  if (over && !changes && !commands) state_cutoff = std::numeric_limits<int64_t>::max();
  ASSIGN_OR_RETURN(const bool states, DeleteOldest("state_history", "block", "last_unix_ms", state_cutoff));
  return changes || commands || states;
}

absl::StatusOr<bool> Store::DeleteOldest(absl::string_view table, absl::string_view key, absl::string_view time,
                                         int64_t cutoff_unix_ms) {
  RETURN_IF_ERROR(
      database_->Exec(absl::StrCat("DELETE FROM ", table, " WHERE ", key, " IN (SELECT ", key, " FROM ", table,
                                   " ORDER BY ", key, " LIMIT ", kPruneRows, ") AND ", time, " < ", cutoff_unix_ms)));
  return database_->changed_rows() > 0;
}

absl::StatusOr<bool> Store::PruneCommands(int64_t cutoff_unix_ms) {
  ASSIGN_OR_RETURN(
      const int64_t last,
      QueryInt(*database_, absl::StrCat("SELECT max(id) FROM (SELECT id, issued_unix_ms FROM command WHERE ended = 1 "
                                        "ORDER BY id LIMIT ",
                                        kPruneRows, ") WHERE issued_unix_ms < ", cutoff_unix_ms)));
  if (last == 0) return false;
  const std::string old = absl::StrCat("ended = 1 AND id <= ", last);
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  // The highest id may go with them, and must not be given again: devices remember it.
  RETURN_IF_ERROR(
      database_->Exec("UPDATE meta SET value = max(value, (SELECT max(id) + 1 FROM command)) "
                      "WHERE key = 'first_command'"));
  RETURN_IF_ERROR(database_->Exec(
      absl::StrCat("DELETE FROM command_step WHERE command IN (SELECT id FROM command WHERE ", old, ")")));
  RETURN_IF_ERROR(database_->Exec(absl::StrCat("DELETE FROM command WHERE ", old)));
  RETURN_IF_ERROR(transaction.Commit());
  return true;
}

}  // namespace fleet::server
