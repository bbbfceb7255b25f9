// Rows of the durable streams to and from SQL, as store_rows.h.
#pragma once

#include <vector>

#include "common/sqlite.h"
#include "server/rows.h"

namespace fleet::server {

// Bind all columns of the table, in its order, without its own number.
void BindEvent(const EventRow& row, Statement& insert);
void BindQuarantine(const QuarantineRow& row, Statement& insert);
void BindAccount(const StreamAccountRow& row, Statement& insert);
void BindAccountKey(const StreamAccountRow& row, Statement& remove);  // device, stream, epoch
void BindTotals(const StreamTotalsRow& row, Statement& insert);       // with reason 0
void BindTotalsDropped(const StreamTotalsRow& row, v1::DropReason reason, uint64_t count, Statement& insert);

absl::Status LoadAccounts(Database& database, std::vector<StreamAccountRow>& out);
absl::Status LoadTotals(Database& database, std::vector<StreamTotalsRow>& out);

}  // namespace fleet::server
