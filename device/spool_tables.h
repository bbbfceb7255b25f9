// The tables of the spool and what is done to them, inside a transaction of the caller.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/sqlite.h"
#include "device/spool.h"

namespace fleet::device {

// One thread at a time. After a failure the caller rolls back and calls Restore with what it took from Save before.
struct SpoolFile::Tables {
 public:
  // What is known without asking the file.
  struct Known {
    SpoolTotals totals;
    int64_t telemetry_from = 0;  // there is no telemetry in a row before this one
    int64_t aged_at_unix_ms = 0;
  };

  Tables(std::unique_ptr<Database> open_database, const SpoolBounds& spool_bounds)
      : database(std::move(open_database)), bounds(spool_bounds) {}

  absl::Status Load(SpoolContents& contents);
  // Keeps at most kMaxAccounts.
  absl::Status BoundAccounts();

  // All of `work` but its read.
  absl::Status Write(const SpoolWork& work);
  // Gives up what is beyond the bounds.
  absl::Status Enforce(int64_t now_unix_ms, std::vector<StreamDrop>& dropped);
  absl::Status Read(const SpoolWork::Read& read, SpoolDone& done);

  const std::unique_ptr<Database> database;
  const SpoolBounds bounds;
  Known known;

 private:
  struct Row {
    int64_t row = 0;
    StreamEpoch epoch;  // `made` is the first number
    uint32_t records = 0;
    int64_t made_unix_ms = 0;
    uint64_t payload_bytes = 0;
  };

  absl::Status LoadAccounts(SpoolContents& contents);
  absl::Status LoadCommands(SpoolContents& contents);
  absl::Status LoadTotals(SpoolContents& contents);

  absl::Status Put(const StreamBatch& batch);
  absl::Status Remove(int64_t row);
  absl::Status Delete(const Row& row);
  absl::StatusOr<std::vector<Row>> Rows(absl::string_view where, int64_t parameter);
  absl::Status NoteMade(const StreamEpoch& made);
  absl::Status Remember(const RememberedCommand& command);
  absl::Status SetMeta(absl::string_view key, int64_t value);
  absl::Status Settle(const StreamEpoch& settled);
  absl::StatusOr<std::vector<v1::DroppedRange>> Dropped(v1::Stream stream, uint32_t epoch);
  absl::Status NoteDropped(const std::vector<StreamDrop>& drops);
  absl::Status ReplaceDropped(const StreamEpoch& of, const std::vector<v1::DroppedRange>& before,
                              const std::vector<v1::DroppedRange>& after);

  absl::Status GiveUp(const Row& row, v1::DropReason reason, std::vector<StreamDrop>& dropped);
  absl::Status EnforceBytes(std::vector<StreamDrop>& dropped);
  absl::Status EnforceAge(int64_t now_unix_ms, std::vector<StreamDrop>& dropped);
  absl::StatusOr<Row> NextVictim();
  // Prepared once.
  absl::StatusOr<Statement*> Prepared(const char* sql);

  std::map<const char*, std::unique_ptr<Statement>> prepared_;  // by the literal; dies before the database
};

}  // namespace fleet::device
