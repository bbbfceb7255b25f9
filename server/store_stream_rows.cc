#include "server/store_stream_rows.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "fleet/v1/storage.pb.h"
#include "server/ingest.h"

namespace fleet::server {

void BindEvent(const EventRow& row, Statement& insert) {
  insert.BindInt(1, row.device_row);
  insert.BindInt(2, row.epoch);
  insert.BindInt(3, static_cast<int64_t>(row.seq));
  insert.BindInt(4, row.event.kind());
  insert.BindInt(5, row.event.entity_id());
  insert.BindText(6, row.event.name());
  insert.BindText(7, row.event.detail());
  insert.BindInt(8, static_cast<int64_t>(std::min<uint64_t>(row.event.at_unix_ms(), kMaxUnixMs)));
  insert.BindInt(9, row.received_unix_ms);
  insert.BindInt(10, row.backlog ? 1 : 0);
}

void BindQuarantine(const QuarantineRow& row, Statement& insert) {
  insert.BindInt(1, row.received_unix_ms);
  insert.BindBlob(2, row.topic);
  insert.BindText(3, row.reason);
  insert.BindText(4, row.detail);
  insert.BindBlob(5, row.payload);
  insert.BindInt(6, static_cast<int64_t>(row.payload_bytes));
}

void BindAccountKey(const StreamAccountRow& row, Statement& remove) {
  remove.BindInt(1, row.device_row);
  remove.BindInt(2, row.stream);
  remove.BindInt(3, row.epoch);
}

void BindAccount(const StreamAccountRow& row, Statement& insert) {
  BindAccountKey(row, insert);
  insert.BindInt(4, static_cast<int64_t>(row.made));
  insert.BindInt(5, static_cast<int64_t>(row.duplicate));
  insert.BindInt(6, static_cast<int64_t>(row.waiting));
  insert.BindInt(7, row.reported_unix_ms);
  insert.BindBlob(8, row.ranges);
}

void BindTotals(const StreamTotalsRow& row, Statement& insert) {
  insert.BindInt(1, row.device_row);
  insert.BindInt(2, row.stream);
  insert.BindInt(3, 0);
  insert.BindInt(4, static_cast<int64_t>(row.settled_below));
  insert.BindInt(5, static_cast<int64_t>(row.sent));
  insert.BindInt(6, static_cast<int64_t>(row.stored));
  insert.BindInt(7, static_cast<int64_t>(row.duplicate));
  insert.BindInt(8, 0);
}

void BindTotalsDropped(const StreamTotalsRow& row, v1::DropReason reason, uint64_t count, Statement& insert) {
  BindTotals(row, insert);
  insert.BindInt(3, reason);
  for (int column : {5, 6, 7}) insert.BindInt(column, 0);
  insert.BindInt(8, static_cast<int64_t>(count));
}

absl::Status LoadAccounts(Database& database, std::vector<StreamAccountRow>& out) {
  ASSIGN_OR_RETURN(Statement query,
                   database.Prepare("SELECT device, stream, epoch, made, duplicate, waiting, reported_unix_ms, ranges "
                                    "FROM stream_account ORDER BY device, stream, epoch"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return absl::OkStatus();
    StreamAccountRow row{.device_row = query.Int(0)};
    row.stream = static_cast<v1::Stream>(query.Int(1));
    row.epoch = static_cast<uint32_t>(query.Int(2));
    row.made = static_cast<uint64_t>(query.Int(3));
    row.duplicate = static_cast<uint64_t>(query.Int(4));
    row.waiting = static_cast<uint64_t>(query.Int(5));
    row.reported_unix_ms = query.Int(6);
    row.ranges = std::string(query.Blob(7));
    if (!v1::StreamRanges().ParseFromString(row.ranges)) {
      return absl::DataLossError(absl::StrCat("the stream account of device ", row.device_row, " does not parse"));
    }
    out.push_back(std::move(row));
  }
}

absl::Status LoadTotals(Database& database, std::vector<StreamTotalsRow>& out) {
  ASSIGN_OR_RETURN(Statement query,
                   database.Prepare("SELECT device, stream, reason, settled_below, sent, stored, duplicate, dropped "
                                    "FROM stream_totals ORDER BY device, stream, reason"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return absl::OkStatus();
    const auto reason = static_cast<v1::DropReason>(query.Int(2));
    if (reason == v1::DROP_REASON_UNSPECIFIED) {  // the first of its stream
      out.push_back({.device_row = query.Int(0),
                     .stream = static_cast<v1::Stream>(query.Int(1)),
                     .settled_below = static_cast<uint64_t>(query.Int(3)),
                     .sent = static_cast<uint64_t>(query.Int(4)),
                     .stored = static_cast<uint64_t>(query.Int(5)),
                     .duplicate = static_cast<uint64_t>(query.Int(6)),
                     .dropped = {}});
    } else if (!out.empty()) {
      out.back().dropped[reason] = static_cast<uint64_t>(query.Int(7));
    }
  }
}

}  // namespace fleet::server
