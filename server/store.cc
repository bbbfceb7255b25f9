#include "server/store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/store_rows.h"
#include "server/store_schema.h"
#include "server/store_stream_rows.h"

namespace fleet::server {
namespace {

constexpr int64_t kIdLeap = 4096;          // a stop may have been sent without being stored: its id is not given again
constexpr int64_t kKeepQuarantine = 1000;  // rows

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
  Statement event;
  Statement account;
  Statement settled;
  Statement totals;
  Statement quarantine;
  Statement quarantine_full;
};

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenCurrent(path));
  std::unique_ptr<Store> store(new Store(std::move(database)));
  RETURN_IF_ERROR(store->Prepare());
  return store;
}

absl::Status Store::Prepare() {
  writes_ = std::make_unique<Writes>();
  const std::pair<Statement*, absl::string_view> statements[] = {
      {&writes_->device,
       "INSERT INTO device VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (device) DO UPDATE SET epoch=excluded.epoch, "
       "started_unix_ms=excluded.started_unix_ms, version=excluded.version, state=excluded.state, "
       "reason=excluded.reason, state_since_unix_ms=excluded.state_since_unix_ms, "
       "last_seen_unix_ms=excluded.last_seen_unix_ms"},
      {&writes_->entity, "INSERT OR REPLACE INTO entity VALUES (?,?,?,?,?,?,?,?)"},
      {&writes_->block, "INSERT INTO state_history VALUES (NULL,?,?,?,?,?)"},
      {&writes_->loss, "INSERT OR REPLACE INTO loss VALUES (?,?,?,?,?,?,?,?,?)"},
      {&writes_->liveness, "INSERT INTO liveness VALUES (NULL,?,?,?,?)"},
      {&writes_->command, "INSERT INTO command VALUES (?,?,?,?,?,?,0)"},
      {&writes_->step, "INSERT OR REPLACE INTO command_step VALUES (?,?,?,?,?,?,?)"},
      {&writes_->ended, "UPDATE command SET ended = ? WHERE id = ?"},
      {&writes_->event, "INSERT INTO event VALUES (NULL,?,?,?,?,?,?,?,?,?,?)"},
      {&writes_->account, "INSERT OR REPLACE INTO stream_account VALUES (?,?,?,?,?,?,?,?)"},
      {&writes_->settled, "DELETE FROM stream_account WHERE device = ? AND stream = ? AND epoch = ?"},
      {&writes_->totals, "INSERT OR REPLACE INTO stream_totals VALUES (?,?,?,?,?,?,?,?)"},
      {&writes_->quarantine, "INSERT INTO quarantine VALUES (NULL,?,?,?,?,?,?)"},
      {&writes_->quarantine_full, "DELETE FROM quarantine WHERE number <= ?"},
  };
  for (const auto& [statement, sql] : statements) {
    ASSIGN_OR_RETURN(*statement, database_->Prepare(sql));
  }
  ASSIGN_OR_RETURN(telemetry_, TelemetryTable::Open(*database_));
  ASSIGN_OR_RETURN(dtcs_, DtcTable::Open(*database_));
  return absl::OkStatus();
}

absl::Status Store::Write(const std::vector<RowBatch>& batches) {
  Counters counters = counters_;
  const absl::Status status = WriteInOne(batches, counters);
  if (status.ok()) counters_ = counters;
  if (!status.ok()) telemetry_->Forget();
  return status;
}

absl::Status Store::WriteInOne(const std::vector<RowBatch>& batches, Counters& counters) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  for (const RowBatch& batch : batches) RETURN_IF_ERROR(WriteBatch(batch, counters));
  RETURN_IF_ERROR(telemetry_->Finish());
  return transaction.Commit();
}

absl::Status Store::WriteBatch(const RowBatch& batch, Counters& counters) {
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
    RETURN_IF_ERROR(SetEnded(row.id, IsEnd(row.state)));
  }
  for (CommandId id : batch.given_up) RETURN_IF_ERROR(SetEnded(id, true));
  RETURN_IF_ERROR(WriteStreams(batch, counters));
  return WriteQuarantine(batch.quarantine);
}

absl::Status Store::SetEnded(CommandId id, bool ended) {
  writes_->ended.BindInt(1, ended ? 1 : 0);
  writes_->ended.BindInt(2, static_cast<int64_t>(Number(id)));
  return writes_->ended.Run();
}

absl::Status Store::WriteStreams(const RowBatch& batch, Counters& counters) {
  for (const EventRow& row : batch.events) {
    if (row.disk_lost) {
      RETURN_IF_ERROR(dtcs_->DiskLost(row.device_row));
      continue;
    }
    BindEvent(row, writes_->event);
    RETURN_IF_ERROR(writes_->event.Run());
    ASSIGN_OR_RETURN(const bool followed, dtcs_->Follow(row));
    counters.dtcs_refused += followed ? 0 : 1;
  }
  for (const TelemetryRow& row : batch.telemetry) {
    ASSIGN_OR_RETURN(const uint64_t nameless, telemetry_->Write(row));
    counters.nameless_samples += nameless;
  }
  for (const StreamTotalsRow& row : batch.stream_totals) {
    BindTotals(row, writes_->totals);
    RETURN_IF_ERROR(writes_->totals.Run());
    for (const auto& [reason, count] : row.dropped) {
      BindTotalsDropped(row, reason, count, writes_->totals);
      RETURN_IF_ERROR(writes_->totals.Run());
    }
  }
  for (const StreamAccountRow& row : batch.stream_accounts) {
    Statement& statement = row.settled ? writes_->settled : writes_->account;
    row.settled ? BindAccountKey(row, statement) : BindAccount(row, statement);
    RETURN_IF_ERROR(statement.Run());
  }
  return absl::OkStatus();
}

absl::Status Store::WriteQuarantine(const std::vector<QuarantineRow>& rows) {
  for (const QuarantineRow& row : rows) {
    BindQuarantine(row, writes_->quarantine);
    RETURN_IF_ERROR(writes_->quarantine.Run());
    writes_->quarantine_full.BindInt(1, database_->last_insert_rowid() - kKeepQuarantine);
    RETURN_IF_ERROR(writes_->quarantine_full.Run());
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

absl::StatusOr<SavedFleet> Store::Load(const Boot& boot) {
  SavedFleet fleet;
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  RETURN_IF_ERROR(
      database_->Exec(absl::StrCat("UPDATE meta SET value = value + 1 WHERE key = 'server_epoch';"
                                   "UPDATE meta SET value = ",
                                   kIdLeap,
                                   " + max(value, coalesce((SELECT max(id) + 1 FROM command), 0)) "
                                   "WHERE key = 'first_command'")));
  ASSIGN_OR_RETURN(const int64_t epoch, QueryInt(*database_, "SELECT value FROM meta WHERE key = 'server_epoch'"));
  ASSIGN_OR_RETURN(const int64_t next, QueryInt(*database_, "SELECT value FROM meta WHERE key = 'first_command'"));
  ASSIGN_OR_RETURN(fleet.steady_offset_ms, LoadSteadyOffset(boot));
  RETURN_IF_ERROR(transaction.Commit());
  fleet.server_epoch = static_cast<uint32_t>(epoch);
  fleet.next_command = CommandId{static_cast<uint64_t>(next)};
  RETURN_IF_ERROR(LoadDevices(*database_, fleet.devices));
  RETURN_IF_ERROR(LoadOpenCommands(*database_, fleet.open_commands));
  RETURN_IF_ERROR(LoadTotals(*database_, fleet.stream_totals));
  RETURN_IF_ERROR(LoadAccounts(*database_, fleet.stream_accounts));
  return fleet;
}

absl::StatusOr<int64_t> Store::LoadSteadyOffset(const Boot& boot) {
  ASSIGN_OR_RETURN(const int64_t known_boot, QueryInt(*database_, "SELECT value FROM meta WHERE key = 'boot'"));
  if (boot.id != 0 && boot.id == known_boot) {
    return QueryInt(*database_, "SELECT value FROM meta WHERE key = 'steady_offset_ms'");
  }
  ASSIGN_OR_RETURN(const int64_t last_issued,
                   QueryInt(*database_, "SELECT issued_unix_ms FROM command ORDER BY id DESC LIMIT 1"));
  const int64_t steady_unix_ms = std::max(boot.now.unix_ms(), last_issued + 1);
  const int64_t offset_ms = steady_unix_ms - boot.now.mono.millis();
  RETURN_IF_ERROR(database_->Exec(absl::StrCat("INSERT OR REPLACE INTO meta VALUES ('boot', ", boot.id,
                                               "), ('steady_offset_ms', ", offset_ms, ")")));
  return offset_ms;
}

}  // namespace fleet::server
