// What the spool finds when it is opened.
#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "device/spool_tables.h"

namespace fleet::device {

absl::Status SpoolFile::Tables::Load(SpoolContents& contents) {
  RETURN_IF_ERROR(LoadCommands(contents));
  RETURN_IF_ERROR(LoadAccounts(contents));
  return LoadTotals(contents);
}

absl::Status SpoolFile::Tables::LoadCommands(SpoolContents& contents) {
  ASSIGN_OR_RETURN(Statement query, database->Prepare("SELECT id, expires_ms, entity, is_barrier, is_cancel, "
                                                      "state, reason, detail FROM command ORDER BY id"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    contents.commands.push_back({.id = static_cast<uint64_t>(query.Int(0)),
                                 .expires_ms = query.Int(1),
                                 .entity_id = static_cast<uint32_t>(query.Int(2)),
                                 .is_barrier = query.Int(3) != 0,
                                 .is_cancel = query.Int(4) != 0,
                                 .state = static_cast<v1::CommandState>(query.Int(5)),
                                 .reason = std::string(query.Text(6)),
                                 .detail = std::string(query.Text(7))});
  }
  ASSIGN_OR_RETURN(Statement meta, database->Prepare("SELECT key, value FROM meta"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, meta.Step());
    if (!found) return absl::OkStatus();
    if (meta.Text(0) == "forgotten_up_to") contents.forgotten_up_to = static_cast<uint64_t>(meta.Int(1));
    if (meta.Text(0) == "memory_began_ms") contents.memory_began_ms = meta.Int(1);
  }
}

absl::Status SpoolFile::Tables::LoadAccounts(SpoolContents& contents) {
  ASSIGN_OR_RETURN(Statement query,
                   database->Prepare("SELECT epoch, stream, made, (SELECT coalesce(sum(records), 0) FROM batch WHERE "
                                     "batch.epoch = account.epoch AND batch.stream = account.stream) FROM account"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return absl::OkStatus();
    v1::EpochAccount& account = contents.accounts.emplace_back();
    account.set_epoch(static_cast<uint32_t>(query.Int(0)));
    account.set_stream(static_cast<v1::Stream>(query.Int(1)));
    account.set_made(static_cast<uint64_t>(query.Int(2)));
    account.set_waiting(static_cast<uint64_t>(query.Int(3)));
    ASSIGN_OR_RETURN(const std::vector<v1::DroppedRange> dropped, Dropped(account.stream(), account.epoch()));
    *account.mutable_dropped() = {dropped.begin(), dropped.end()};
  }
}

absl::Status SpoolFile::Tables::LoadTotals(SpoolContents& contents) {
  ASSIGN_OR_RETURN(Statement query,
                   database->Prepare("SELECT stream, count(*), sum(length(payload)), sum(records), max(row) FROM batch "
                                     "GROUP BY stream"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    known.totals.batches += static_cast<uint64_t>(query.Int(1));
    known.totals.payload_bytes += static_cast<uint64_t>(query.Int(2));
    const auto records = static_cast<uint64_t>(query.Int(3));
    (query.Int(0) == v1::STREAM_EVENT ? known.totals.event_records : known.totals.telemetry_records) += records;
    contents.last_row = std::max(contents.last_row, query.Int(4));
  }
  contents.totals = known.totals;
  return absl::OkStatus();
}

absl::Status SpoolFile::Tables::BoundAccounts() {
  for (const char* sql :
       {"DELETE FROM account WHERE (epoch, stream) IN (SELECT epoch, stream FROM account AS a WHERE NOT EXISTS (SELECT "
        "1 "
        "FROM batch WHERE batch.epoch = a.epoch AND batch.stream = a.stream) ORDER BY epoch LIMIT max(0, (SELECT "
        "count(*) "
        "FROM account) - ?))",
        "DELETE FROM dropped WHERE ? > 0 AND NOT EXISTS (SELECT 1 FROM account WHERE account.epoch = dropped.epoch AND "
        "account.stream = dropped.stream)"}) {
    ASSIGN_OR_RETURN(Statement remove, database->Prepare(sql));
    remove.BindInt(1, static_cast<int64_t>(kMaxAccounts));
    RETURN_IF_ERROR(remove.Run());
  }
  return absl::OkStatus();
}

}  // namespace fleet::device
