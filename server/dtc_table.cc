#include "server/dtc_table.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "common/status_macros.h"
#include "server/ingest.h"

namespace fleet::server {
namespace {

// What `active` is in the row of a scan, whose code is empty: neither listed nor forgotten.
constexpr int kScan = 2;

// 0: the device does not say.
int64_t TimeOr(uint64_t unix_ms, int64_t otherwise_unix_ms) {
  return unix_ms == 0 ? otherwise_unix_ms : static_cast<int64_t>(std::min<uint64_t>(unix_ms, kMaxUnixMs));
}

int64_t AtOf(const EventRow& row) {
  return TimeOr(row.event.at_unix_ms(), 0);
}

void BindKey(const EventRow& row, absl::string_view code, Statement& statement) {
  const v1::Dtc& dtc = row.event.dtc();
  statement.BindInt(1, row.device_row);
  statement.BindText(2, dtc.bus());
  statement.BindText(3, dtc.protocol());
  statement.BindInt(4, dtc.ecu());
  statement.BindText(5, code);
}

}  // namespace

struct DtcTable::Known {
  bool active = false;
  std::string status;
  int64_t first_unix_ms = 0;
  uint32_t epoch = 0;
  uint64_t seq = 0;
  int64_t at_unix_ms = 0;

  bool IsOlderThan(const EventRow& row) const { return std::tie(epoch, seq) < std::tie(row.epoch, row.seq); }
};

absl::StatusOr<std::unique_ptr<DtcTable>> DtcTable::Open(Database& database) {
  std::unique_ptr<DtcTable> table(new DtcTable());
  const std::pair<Statement*, absl::string_view> statements[] = {
      {&table->find_,
       "SELECT active, status, first_unix_ms, epoch, seq, at_unix_ms FROM dtc "
       "WHERE device = ? AND bus = ? AND protocol = ? AND ecu = ? AND code = ?"},
      {&table->write_, "INSERT OR REPLACE INTO dtc VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"},
      {&table->count_, "SELECT count(*) FROM dtc WHERE device = ?"},
      {&table->forget_, "DELETE FROM dtc WHERE device = ? AND active = 0"},
      // Number 0: what the life of the scan says of them is newer, be it late.
      {&table->clear_,
       "INSERT OR REPLACE INTO dtc SELECT NULL, device, bus, protocol, ecu, code, status, 0, first_unix_ms, ?6, count, "
       "?5, 0, ?6, ?7 FROM dtc WHERE device = ?1 AND bus = ?2 AND protocol = ?3 AND ecu = ?4 AND active = 1 AND "
       "epoch < ?5 ORDER BY change"},
      {&table->age_, "UPDATE dtc SET epoch = 0 WHERE device = ?"},
  };
  for (const auto& [statement, sql] : statements) {
    ASSIGN_OR_RETURN(*statement, database.Prepare(sql));
  }
  return table;
}

absl::StatusOr<bool> DtcTable::Follow(const EventRow& row) {
  const v1::EventKind kind = row.event.kind();
  const bool scanned = kind == v1::EVENT_KIND_DTC_SCANNED;
  if (!scanned && kind != v1::EVENT_KIND_DTC_SET && kind != v1::EVENT_KIND_DTC_CLEARED) return true;
  if (scanned) {
    RETURN_IF_ERROR(ClearOlder(row, {.epoch = row.epoch, .at_unix_ms = AtOf(row)}));
  }
  ASSIGN_OR_RETURN(const std::optional<Known> known, Find(row, row.event.dtc().code()));
  if (known && !known->IsOlderThan(row)) return true;
  if (!known) {
    ASSIGN_OR_RETURN(const bool room, MakeRoom(row.device_row));
    if (!room) return false;
  }
  RETURN_IF_ERROR(Write(row, known));
  if (scanned) return true;
  // What comes late goes the way of all that was known when the scan came.
  ASSIGN_OR_RETURN(const std::optional<Known> scan, Find(row, ""));
  if (scan && scan->epoch > row.epoch) RETURN_IF_ERROR(ClearOlder(row, *scan));
  return true;
}

absl::Status DtcTable::DiskLost(int64_t device_row) {
  age_.BindInt(1, device_row);
  return age_.Run();
}

absl::StatusOr<std::optional<DtcTable::Known>> DtcTable::Find(const EventRow& row, absl::string_view code) {
  BindKey(row, code, find_);
  ASSIGN_OR_RETURN(const bool found, find_.Step());
  if (!found) return std::nullopt;
  Known known{.active = find_.Int(0) != 0,
              .status = std::string(find_.Text(1)),
              .first_unix_ms = find_.Int(2),
              .epoch = static_cast<uint32_t>(find_.Int(3)),
              .seq = static_cast<uint64_t>(find_.Int(4)),
              .at_unix_ms = find_.Int(5)};
  find_.Reset();
  return known;
}

absl::Status DtcTable::Write(const EventRow& row, const std::optional<Known>& known) {
  const v1::EventKind kind = row.event.kind();
  const bool set = kind == v1::EVENT_KIND_DTC_SET;
  const v1::Dtc& dtc = row.event.dtc();
  const int64_t at_unix_ms = AtOf(row);
  // One that is told again by a later life was there all the time; one that is cleared was there until now.
  const bool goes_on = known && (known->active || !set);
  BindKey(row, dtc.code(), write_);
  write_.BindText(6, dtc.status().empty() && known ? known->status : dtc.status());
  write_.BindInt(7, kind == v1::EVENT_KIND_DTC_SCANNED ? kScan : set);
  write_.BindInt(8, goes_on ? known->first_unix_ms : TimeOr(dtc.first_unix_ms(), at_unix_ms));
  write_.BindInt(9, set ? TimeOr(dtc.last_unix_ms(), at_unix_ms) : at_unix_ms);
  write_.BindInt(10, dtc.count());
  write_.BindInt(11, row.epoch);
  write_.BindInt(12, static_cast<int64_t>(row.seq));
  write_.BindInt(13, at_unix_ms);
  write_.BindInt(14, row.received_unix_ms);
  return write_.Run();
}

absl::Status DtcTable::ClearOlder(const EventRow& row, const Known& scan) {
  const v1::Dtc& dtc = row.event.dtc();
  clear_.BindInt(1, row.device_row);
  clear_.BindText(2, dtc.bus());
  clear_.BindText(3, dtc.protocol());
  clear_.BindInt(4, dtc.ecu());
  clear_.BindInt(5, scan.epoch);
  clear_.BindInt(6, scan.at_unix_ms);
  clear_.BindInt(7, row.received_unix_ms);
  return clear_.Run();
}

absl::StatusOr<bool> DtcTable::MakeRoom(int64_t device_row) {
  ASSIGN_OR_RETURN(const bool room, HasRoom(device_row));
  if (room) return true;
  forget_.BindInt(1, device_row);
  RETURN_IF_ERROR(forget_.Run());
  return HasRoom(device_row);
}

absl::StatusOr<bool> DtcTable::HasRoom(int64_t device_row) {
  count_.BindInt(1, device_row);
  RETURN_IF_ERROR(count_.Step().status());
  const bool room = count_.Int(0) < kMaxCodes;
  count_.Reset();
  return room;
}

}  // namespace fleet::server
