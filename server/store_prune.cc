#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/store.h"
#include "server/store_schema.h"

namespace fleet::server {
namespace {

constexpr int kPruneRows = 2000;  // per step and table: some milliseconds
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

absl::StatusOr<bool> IsOver(Database& database, int64_t keep_bytes) {
  ASSIGN_OR_RETURN(const int64_t pages, QueryInt(database, "PRAGMA page_count"));
  ASSIGN_OR_RETURN(const int64_t free, QueryInt(database, "PRAGMA freelist_count"));
  ASSIGN_OR_RETURN(const int64_t page_bytes, QueryInt(database, "PRAGMA page_size"));
  return (pages - free) * page_bytes > keep_bytes;
}

// When the first row of the table is from; kNever when it has none.
absl::StatusOr<int64_t> OldestOf(Database& database, absl::string_view table, absl::string_view key,
                                 absl::string_view time) {
  return QueryInt(database, absl::StrCat("SELECT coalesce((SELECT ", time, " FROM ", table, " ORDER BY ", key,
                                         " LIMIT 1), ", kNever, ")"));
}

}  // namespace

absl::StatusOr<bool> Store::Prune(const Retention& retention, int64_t now_unix_ms) {
  int64_t cutoff = now_unix_ms - absl::ToInt64Milliseconds(retention.keep);
  int64_t state_cutoff = cutoff;
  int64_t telemetry_cutoff = cutoff;
  ASSIGN_OR_RETURN(const bool over, IsOver(*database_, retention.keep_bytes));
  ASSIGN_OR_RETURN(const int64_t oldest_state, OldestOf(*database_, "state_history", "block", "first_unix_ms"));
  ASSIGN_OR_RETURN(const int64_t oldest_telemetry, OldestOf(*database_, "telemetry", "block", "received_unix_ms"));
  if (over) {
    // States and telemetry are the bulk of it: the rest is kept as far back as they go.
    const int64_t oldest = std::min(oldest_state, oldest_telemetry);
    const int64_t keep_from = oldest == kNever ? now_unix_ms + 1 : oldest;
    if (keep_from <= now_unix_ms + 1) cutoff = std::max(cutoff, keep_from);  // not after a jump of the clock
  }
  ASSIGN_OR_RETURN(const bool liveness, DeleteOldest("liveness", "change", "at_unix_ms", cutoff));
  ASSIGN_OR_RETURN(const bool events, DeleteOldest("event", "number", "received_unix_ms", cutoff));
  ASSIGN_OR_RETURN(const bool dtcs, PruneDtcs(cutoff));
  ASSIGN_OR_RETURN(const bool commands, PruneCommands(cutoff));
  const bool rest = liveness || events || dtcs || commands;
  if (over && !rest) (oldest_telemetry < oldest_state ? telemetry_cutoff : state_cutoff) = kNever;
  ASSIGN_OR_RETURN(const bool states, DeleteOldest("state_history", "block", "last_unix_ms", state_cutoff));
  ASSIGN_OR_RETURN(const bool telemetry, DeleteOldest("telemetry", "block", "received_unix_ms", telemetry_cutoff));
  return rest || states || telemetry;
}

absl::StatusOr<bool> Store::DeleteOldest(absl::string_view table, absl::string_view key, absl::string_view time,
                                         int64_t cutoff_unix_ms) {
  RETURN_IF_ERROR(
      database_->Exec(absl::StrCat("DELETE FROM ", table, " WHERE ", key, " IN (SELECT ", key, " FROM ", table,
                                   " ORDER BY ", key, " LIMIT ", kPruneRows, ") AND ", time, " < ", cutoff_unix_ms)));
  return database_->changed_rows() > 0;
}

absl::StatusOr<bool> Store::PruneDtcs(int64_t cutoff_unix_ms) {
  RETURN_IF_ERROR(database_->Exec(
      absl::StrCat("DELETE FROM dtc WHERE change IN (SELECT change FROM dtc WHERE active = 0 AND received_unix_ms < ",
                   cutoff_unix_ms, " LIMIT ", kPruneRows, ")")));
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
