#include "device/spool_tables.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "device/dropped_ranges.h"

namespace fleet::device {
namespace {

// Before this a device without a battery for its clock had not been told the time: its age is not known.
constexpr int64_t kClockUnknownBeforeMs = 1'577'836'800'000;  // 2020-01-01
constexpr int kAgedAtOnce = 100;

int64_t Signed(uint64_t value) {
  return static_cast<int64_t>(value);
}
uint64_t Unsigned(int64_t value) {
  return static_cast<uint64_t>(value);
}

void AddToTotals(SpoolTotals& totals, v1::Stream stream, uint64_t records, uint64_t payload_bytes) {
  ++totals.batches;
  totals.payload_bytes += payload_bytes;
  (stream == v1::STREAM_EVENT ? totals.event_records : totals.telemetry_records) += records;
}

}  // namespace

absl::StatusOr<Statement*> SpoolFile::Tables::Prepared(const char* sql) {
  std::unique_ptr<Statement>& statement = prepared_[sql];
  if (statement == nullptr) {
    ASSIGN_OR_RETURN(Statement made, database->Prepare(sql));
    statement = std::make_unique<Statement>(std::move(made));
  }
  statement->Reset();
  return statement.get();
}

// ---- writing

absl::Status SpoolFile::Tables::Write(const SpoolWork& work) {
  for (const StreamBatch& batch : work.put) RETURN_IF_ERROR(Put(batch));
  for (const int64_t row : work.remove) RETURN_IF_ERROR(Remove(row));
  for (const RememberedCommand& command : work.remember) RETURN_IF_ERROR(Remember(command));
  for (const uint64_t id : work.forget) {
    ASSIGN_OR_RETURN(Statement * remove, Prepared("DELETE FROM command WHERE id = ?"));
    remove->BindInt(1, Signed(id));
    RETURN_IF_ERROR(remove->Run());
  }
  if (work.forgotten_up_to) RETURN_IF_ERROR(SetMeta("forgotten_up_to", Signed(*work.forgotten_up_to)));
  if (work.memory_began_ms) RETURN_IF_ERROR(SetMeta("memory_began_ms", *work.memory_began_ms));
  for (const StreamEpoch& made : work.made) RETURN_IF_ERROR(NoteMade(made));
  RETURN_IF_ERROR(NoteDropped(work.dropped));
  for (const StreamEpoch& settled : work.settled) RETURN_IF_ERROR(Settle(settled));
  return absl::OkStatus();
}

absl::Status SpoolFile::Tables::Put(const StreamBatch& batch) {
  RETURN_IF_ERROR(Remove(batch.row));  // it is there already when an answer "failed" was wrong
  ASSIGN_OR_RETURN(Statement * put, Prepared("INSERT INTO batch VALUES (?,?,?,?,?,?,?)"));
  put->BindInt(1, batch.row);
  put->BindInt(2, batch.stream);
  put->BindInt(3, batch.epoch);
  put->BindInt(4, Signed(batch.first_seq));
  put->BindInt(5, batch.records);
  put->BindInt(6, batch.made_unix_ms);
  put->BindBlob(7, batch.payload);
  RETURN_IF_ERROR(put->Run());
  AddToTotals(known.totals, batch.stream, batch.records, batch.payload.size());
  return NoteMade({.stream = batch.stream, .epoch = batch.epoch, .made = batch.first_seq + batch.records - 1});
}

absl::Status SpoolFile::Tables::Remove(int64_t row) {
  ASSIGN_OR_RETURN(const std::vector<Row> found, Rows("row = ?", row));
  return found.empty() ? absl::OkStatus() : Delete(found[0]);
}

absl::Status SpoolFile::Tables::Delete(const Row& row) {
  ASSIGN_OR_RETURN(Statement * remove, Prepared("DELETE FROM batch WHERE row = ?"));
  remove->BindInt(1, row.row);
  RETURN_IF_ERROR(remove->Run());
  SpoolTotals& totals = known.totals;
  --totals.batches;
  totals.payload_bytes -= row.payload_bytes;
  (row.epoch.stream == v1::STREAM_EVENT ? totals.event_records : totals.telemetry_records) -= row.records;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SpoolFile::Tables::Row>> SpoolFile::Tables::Rows(absl::string_view where,
                                                                            int64_t parameter) {
  ASSIGN_OR_RETURN(
      Statement query,
      database->Prepare(absl::StrCat(
          "SELECT row, stream, epoch, first_seq, records, made_unix_ms, length(payload) FROM batch WHERE ", where)));
  query.BindInt(1, parameter);
  std::vector<Row> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return rows;
    rows.push_back({.row = query.Int(0),
                    .epoch = {.stream = static_cast<v1::Stream>(query.Int(1)),
                              .epoch = static_cast<uint32_t>(query.Int(2)),
                              .made = Unsigned(query.Int(3))},
                    .records = static_cast<uint32_t>(query.Int(4)),
                    .made_unix_ms = query.Int(5),
                    .payload_bytes = Unsigned(query.Int(6))});
  }
}

absl::Status SpoolFile::Tables::NoteMade(const StreamEpoch& made) {
  ASSIGN_OR_RETURN(Statement * note, Prepared("INSERT INTO account VALUES (?,?,?) ON CONFLICT DO UPDATE SET "
                                              "made = excluded.made WHERE excluded.made > made"));
  note->BindInt(1, made.epoch);
  note->BindInt(2, made.stream);
  note->BindInt(3, Signed(made.made));
  return note->Run();
}

absl::Status SpoolFile::Tables::Remember(const RememberedCommand& command) {
  ASSIGN_OR_RETURN(Statement * put, Prepared("INSERT OR REPLACE INTO command VALUES (?,?,?,?,?,?,?,?)"));
  put->BindInt(1, Signed(command.id));
  put->BindInt(2, command.expires_ms);
  put->BindInt(3, command.entity_id);
  put->BindInt(4, command.is_barrier ? 1 : 0);
  put->BindInt(5, command.is_cancel ? 1 : 0);
  put->BindInt(6, command.state);
  put->BindText(7, command.reason);
  put->BindText(8, command.detail);
  return put->Run();
}

absl::Status SpoolFile::Tables::SetMeta(absl::string_view key, int64_t value) {
  ASSIGN_OR_RETURN(Statement * put, Prepared("INSERT OR REPLACE INTO meta VALUES (?,?)"));
  put->BindText(1, key);
  put->BindInt(2, value);
  return put->Run();
}

absl::Status SpoolFile::Tables::Settle(const StreamEpoch& settled) {
  for (const char* sql :
       {"DELETE FROM account WHERE epoch = ? AND stream = ?", "DELETE FROM dropped WHERE epoch = ? AND stream = ?"}) {
    ASSIGN_OR_RETURN(Statement remove, database->Prepare(sql));
    remove.BindInt(1, settled.epoch);
    remove.BindInt(2, settled.stream);
    RETURN_IF_ERROR(remove.Run());
  }
  return absl::OkStatus();
}

// ---- what was given up

absl::StatusOr<std::vector<v1::DroppedRange>> SpoolFile::Tables::Dropped(v1::Stream stream, uint32_t epoch) {
  ASSIGN_OR_RETURN(Statement * query, Prepared("SELECT first_seq, last_seq, reason FROM dropped WHERE epoch = ? AND "
                                               "stream = ? ORDER BY first_seq"));
  query->BindInt(1, epoch);
  query->BindInt(2, stream);
  std::vector<v1::DroppedRange> ranges;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query->Step());
    if (!found) return ranges;
    v1::DroppedRange& range = ranges.emplace_back();
    range.set_first_seq(Unsigned(query->Int(0)));
    range.set_last_seq(Unsigned(query->Int(1)));
    range.set_reason(static_cast<v1::DropReason>(query->Int(2)));
  }
}

absl::Status SpoolFile::Tables::NoteDropped(const std::vector<StreamDrop>& drops) {
  std::map<std::pair<uint32_t, v1::Stream>, std::vector<const v1::DroppedRange*>> by_epoch;
  for (const StreamDrop& drop : drops) by_epoch[{drop.epoch, drop.stream}].push_back(&drop.range);
  for (const auto& [key, added] : by_epoch) {
    const StreamEpoch of{.stream = key.second, .epoch = key.first, .made = added.back()->last_seq()};
    ASSIGN_OR_RETURN(const std::vector<v1::DroppedRange> before, Dropped(of.stream, of.epoch));
    std::vector<v1::DroppedRange> after = before;
    for (const v1::DroppedRange* range : added) AddDropped(after, *range);
    RETURN_IF_ERROR(NoteMade(of));
    RETURN_IF_ERROR(ReplaceDropped(of, before, after));
  }
  return absl::OkStatus();
}

// Writes only what changed: mostly a range that became longer.
absl::Status SpoolFile::Tables::ReplaceDropped(const StreamEpoch& of, const std::vector<v1::DroppedRange>& before,
                                               const std::vector<v1::DroppedRange>& after) {
  const auto same = [](const v1::DroppedRange& a, const v1::DroppedRange& b) {
    return std::tuple(a.first_seq(), a.last_seq(), a.reason()) == std::tuple(b.first_seq(), b.last_seq(), b.reason());
  };
  const auto is_in = [&](const std::vector<v1::DroppedRange>& ranges, const v1::DroppedRange& range) {
    return std::ranges::any_of(ranges, [&](const v1::DroppedRange& other) { return same(range, other); });
  };
  for (const v1::DroppedRange& range : before) {
    if (is_in(after, range)) continue;
    ASSIGN_OR_RETURN(Statement * remove,
                     Prepared("DELETE FROM dropped WHERE epoch = ? AND stream = ? AND first_seq = ?"));
    remove->BindInt(1, of.epoch);
    remove->BindInt(2, of.stream);
    remove->BindInt(3, Signed(range.first_seq()));
    RETURN_IF_ERROR(remove->Run());
  }
  for (const v1::DroppedRange& range : after) {
    if (is_in(before, range)) continue;
    ASSIGN_OR_RETURN(Statement * put, Prepared("INSERT INTO dropped VALUES (?,?,?,?,?)"));
    put->BindInt(1, of.epoch);
    put->BindInt(2, of.stream);
    put->BindInt(3, Signed(range.first_seq()));
    put->BindInt(4, Signed(range.last_seq()));
    put->BindInt(5, range.reason());
    RETURN_IF_ERROR(put->Run());
  }
  return absl::OkStatus();
}

absl::Status SpoolFile::Tables::Enforce(int64_t now_unix_ms, std::vector<StreamDrop>& dropped) {
  RETURN_IF_ERROR(EnforceAge(now_unix_ms, dropped));
  RETURN_IF_ERROR(EnforceBytes(dropped));
  return NoteDropped(dropped);
}

absl::Status SpoolFile::Tables::GiveUp(const Row& row, v1::DropReason reason, std::vector<StreamDrop>& dropped) {
  RETURN_IF_ERROR(Delete(row));
  const uint64_t first = row.epoch.made;
  const auto same_run = [&](const StreamDrop& drop) {
    return drop.stream == row.epoch.stream && drop.epoch == row.epoch.epoch && drop.range.reason() == reason &&
           drop.range.last_seq() + 1 == first;
  };
  auto run = std::ranges::find_if(dropped, same_run);
  if (run == dropped.end()) {
    run = dropped.insert(dropped.end(), {.stream = row.epoch.stream, .epoch = row.epoch.epoch, .range = {}});
    run->range.set_reason(reason);
    run->range.set_first_seq(first);
  }
  run->range.set_last_seq(first + row.records - 1);
  return absl::OkStatus();
}

absl::Status SpoolFile::Tables::EnforceBytes(std::vector<StreamDrop>& dropped) {
  while (known.totals.payload_bytes > bounds.keep_bytes) {
    ASSIGN_OR_RETURN(const Row victim, NextVictim());
    RETURN_IF_ERROR(GiveUp(victim, v1::DROP_REASON_SPOOL_FULL, dropped));
  }
  return absl::OkStatus();
}

// The oldest telemetry; the oldest event when there is none.
absl::StatusOr<SpoolFile::Tables::Row> SpoolFile::Tables::NextVictim() {
  if (known.totals.telemetry_records > 0) {
    ASSIGN_OR_RETURN(const std::vector<Row> telemetry,
                     Rows(absl::StrCat("row >= ? AND stream = ", v1::STREAM_TELEMETRY, " ORDER BY row LIMIT 1"),
                          known.telemetry_from));
    if (!telemetry.empty()) {
      known.telemetry_from = telemetry[0].row;
      return telemetry[0];
    }
  }
  ASSIGN_OR_RETURN(const std::vector<Row> oldest, Rows("row >= ? ORDER BY row LIMIT 1", 0));
  if (oldest.empty()) return absl::DataLossError("the spool counts batches that it does not have");
  return oldest[0];
}

// Old is what was made longer ago than `keep` by a clock that was right: a clock that jumped back drops nothing. Looks
// at the first rows only, now and then; what is hidden behind rows of the future waits for the bound of bytes.
absl::Status SpoolFile::Tables::EnforceAge(int64_t now_unix_ms, std::vector<StreamDrop>& dropped) {
  const int64_t keep_ms = absl::ToInt64Milliseconds(bounds.keep);
  const int64_t pause_ms = std::min<int64_t>(60'000, keep_ms / 60);
  const int64_t since_ms = now_unix_ms - known.aged_at_unix_ms;
  if (since_ms >= 0 && since_ms < pause_ms) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<Row> oldest, Rows(absl::StrCat("row >= ? ORDER BY row LIMIT ", kAgedAtOnce), 0));
  int given_up = 0;
  for (const Row& row : oldest) {
    if (row.made_unix_ms < kClockUnknownBeforeMs || now_unix_ms - row.made_unix_ms <= keep_ms) continue;
    RETURN_IF_ERROR(GiveUp(row, v1::DROP_REASON_TOO_OLD, dropped));
    ++given_up;
  }
  if (given_up < kAgedAtOnce) known.aged_at_unix_ms = now_unix_ms;  // else the next work goes on
  return absl::OkStatus();
}

// ---- reading

absl::Status SpoolFile::Tables::Read(const SpoolWork::Read& read, SpoolDone& done) {
  ASSIGN_OR_RETURN(Statement * query, Prepared("SELECT row, stream, epoch, first_seq, records, made_unix_ms, payload "
                                               "FROM batch WHERE row > ? ORDER BY row"));
  query->BindInt(1, read.after_row);
  size_t bytes = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query->Step());
    if (!found) break;
    const absl::string_view payload = query->Blob(6);
    if (!done.read.empty() && bytes + payload.size() > read.max_bytes) {
      query->Reset();
      return absl::OkStatus();
    }
    bytes += payload.size();
    done.read.push_back({.row = query->Int(0),
                         .stream = static_cast<v1::Stream>(query->Int(1)),
                         .epoch = static_cast<uint32_t>(query->Int(2)),
                         .first_seq = Unsigned(query->Int(3)),
                         .records = static_cast<uint32_t>(query->Int(4)),
                         .made_unix_ms = query->Int(5),
                         .payload = std::string(payload)});
  }
  done.read_to_end = true;
  return absl::OkStatus();
}

}  // namespace fleet::device
