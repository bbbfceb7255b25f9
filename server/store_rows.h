// Rows to and from SQL: the column orders of schema.sql, in one place.
#pragma once

#include <vector>

#include "common/sqlite.h"
#include "server/fleet_state.h"
#include "server/rows.h"

namespace fleet::server {

// Bind all columns of the table, in its order.
void BindDevice(const DeviceRow& row, Statement& insert);
void BindEntity(int64_t device, const EntityRow& row, Statement& insert);
void BindLoss(int64_t device, absl::string_view stream, const SequenceTracker::Saved& saved, Statement& insert);
void BindCommand(const CommandRow& row, Statement& insert);  // without `ended`
void BindStep(const CommandStepRow& row, Statement& insert);

absl::Status LoadDevices(Database& database, std::vector<DeviceRow>& out);
absl::Status LoadOpenCommands(Database& database, std::vector<SavedCommand>& out);

// SELECT id, device, kind, body, issued_unix_ms, ttl_ms FROM command: the row that `query` stands on.
absl::StatusOr<CommandRow> ReadCommand(const Statement& query);
absl::StatusOr<std::vector<CommandStepRow>> ReadSteps(Database& database, CommandId id);

}  // namespace fleet::server
