// Telemetry of schema version 2, which had the names of the signals in each row.
#pragma once

#include "absl/status/status.h"
#include "common/sqlite.h"

namespace fleet::server {

// Within the transaction that makes the tables of version 3.
inline constexpr char kSetAsideTelemetry[] =
    "DROP INDEX telemetry_of_device; ALTER TABLE telemetry RENAME TO telemetry_of_2;";

// Moves what was set aside to where it belongs, in transactions of 1000 rows each, and logs how far it is. Nothing to
// do is the rule. A row that cannot be read is left out and logged.
absl::Status TakeOverTelemetry(Database& database);

}  // namespace fleet::server
