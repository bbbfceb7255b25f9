#include "server/store_reader.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "fleet/v1/storage.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::server {
namespace {

constexpr int kBlocksPerPage = 1000;  // some 20 ms of reading; others wait meanwhile

// Where a page of the history ended: the sample to begin with.
struct HistoryCursor {
  int64_t last_unix_ms = 0;  // of its block
  int64_t block = 0;
  int sample = 0;
};

absl::StatusOr<HistoryCursor> ParseCursor(absl::string_view text, int64_t since_unix_ms) {
  HistoryCursor cursor{.last_unix_ms = since_unix_ms};
  if (text.empty()) return cursor;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  const bool good = parts.size() == 3 && absl::SimpleAtoi(parts[0], &cursor.last_unix_ms) &&
                    absl::SimpleAtoi(parts[1], &cursor.block) && absl::SimpleAtoi(parts[2], &cursor.sample) &&
                    cursor.sample >= 0;
  if (!good) return absl::InvalidArgumentError("cursor is not one that an earlier page gave");
  return cursor;
}

const v1::EntityState* FindEntity(const v1::StateReport& report, EntityId entity) {
  for (const v1::EntityState& state : report.entities()) {
    if (state.entity_id() == Number(entity)) return &state;
  }
  return nullptr;
}

void AddSample(const v1::StateReport& report, const v1::EntityState& state, int64_t received_unix_ms,
               v1::History& out) {
  v1::HistorySample& sample = *out.add_samples();
  sample.set_received_unix_ms(static_cast<double>(received_unix_ms));
  sample.set_sent_unix_ms(static_cast<double>(report.sent_unix_ms()));
  sample.set_x_mm(state.x_mm());
  sample.set_y_mm(state.y_mm());
  sample.set_angle_mdeg(state.angle_mdeg());
  sample.set_vx_mm_s(state.vx_mm_s());
  sample.set_vy_mm_s(state.vy_mm_s());
}

// Adds the samples of one block from number `first` on. Returns the number to go on with when `limit` was reached.
absl::StatusOr<std::optional<int>> AddBlock(const Statement& row, int first, int64_t since_unix_ms, int limit,
                                            v1::History& out) {
  v1::StateBlock block;
  const absl::string_view bytes = row.Blob(3);
  if (!block.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(absl::StrCat("state_history block ", row.Int(0), " does not parse"));
  }
  v1::StateReport report;
  for (int i = first; i < block.samples_size(); ++i) {
    if (out.samples_size() >= limit) return i;
    const v1::StateSample& sample = block.samples(i);
    const int64_t received_unix_ms = row.Int(1) + sample.received_delta_ms();
    if (received_unix_ms < since_unix_ms || !report.ParseFromString(sample.report())) continue;
    const v1::EntityState* state = FindEntity(report, EntityId{out.entity_id()});
    if (state != nullptr) AddSample(report, *state, received_unix_ms, out);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreReader>> StoreReader::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path, Database::Mode::kReadOnly));
  return std::unique_ptr<StoreReader>(new StoreReader(std::move(database)));
}

absl::StatusOr<int64_t> StoreReader::DeviceRowOf(Database& database, absl::string_view device_id) {
  ASSIGN_OR_RETURN(Statement query, database.Prepare("SELECT device FROM device WHERE id = ?"));
  query.BindText(1, device_id);
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no device ", device_id));
  return query.Int(0);
}

absl::StatusOr<std::optional<StoreReader::StoredCommand>> StoreReader::FindCommand(CommandId id) {
  ASSIGN_OR_RETURN(std::vector<StoredCommand> found, ListCommands("", CommandId{Number(id) + 1}, 1));
  if (found.empty() || found[0].row.id != id) return std::nullopt;
  return std::move(found[0]);
}

absl::StatusOr<std::vector<StoreReader::StoredCommand>> StoreReader::ListCommands(absl::string_view device_id,
                                                                                  CommandId before, int limit) {
  MutexLock lock(mu_);
  int64_t device = 0;
  if (!device_id.empty()) {
    ASSIGN_OR_RETURN(device, DeviceRowOf(*database_, device_id));
  }
  ASSIGN_OR_RETURN(Statement query,
                   database_->Prepare(absl::StrCat(
                       "SELECT command.id, command.device, kind, body, issued_unix_ms, ttl_ms, device.id FROM command "
                       "JOIN device ON device.device = command.device WHERE command.id < ?1 ",
                       device == 0 ? "" : "AND command.device = ?3 ", "ORDER BY command.id DESC LIMIT ?2")));
  query.BindInt(1, static_cast<int64_t>(Number(before)));
  query.BindInt(2, limit);
  if (device != 0) query.BindInt(3, device);
  std::vector<StoredCommand> commands;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return commands;
    ASSIGN_OR_RETURN(CommandRow row, ReadCommand(query));
    ASSIGN_OR_RETURN(std::vector<CommandStepRow> steps, ReadSteps(*database_, row.id));
    commands.push_back({std::move(row), std::move(steps), std::string(query.Text(6))});
  }
}

absl::StatusOr<v1::History> StoreReader::History(absl::string_view device_id, EntityId entity, int64_t since_unix_ms,
                                                 absl::string_view cursor_text, int limit) {
  MutexLock lock(mu_);
  v1::History history;
  history.set_device_id(std::string(device_id));
  history.set_entity_id(Number(entity));
  ASSIGN_OR_RETURN(const int64_t device, DeviceRowOf(*database_, device_id));
  ASSIGN_OR_RETURN(const HistoryCursor cursor, ParseCursor(cursor_text, since_unix_ms));
  ASSIGN_OR_RETURN(Statement query,
                   database_->Prepare("SELECT block, first_unix_ms, last_unix_ms, samples FROM state_history WHERE "
                                      "device = ? AND (last_unix_ms, block) >= (?, ?) ORDER BY last_unix_ms, block"));
  query.BindInt(1, device);
  query.BindInt(2, cursor.last_unix_ms);
  query.BindInt(3, cursor.block);
  for (int blocks = 0;; ++blocks) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return history;
    const int first = query.Int(0) == cursor.block ? cursor.sample : 0;
    std::optional<int> next = first;
    if (blocks < kBlocksPerPage) {
      ASSIGN_OR_RETURN(next, AddBlock(query, first, since_unix_ms, limit, history));
    }
    if (next) {
      history.set_next_cursor(absl::StrCat(query.Int(2), ".", query.Int(0), ".", *next));
      return history;
    }
  }
}

absl::StatusOr<v1::LivenessHistory> StoreReader::Liveness(absl::string_view device_id, int64_t before, int limit) {
  MutexLock lock(mu_);
  v1::LivenessHistory history;
  ASSIGN_OR_RETURN(const int64_t device, DeviceRowOf(*database_, device_id));
  ASSIGN_OR_RETURN(Statement query, database_->Prepare("SELECT change, at_unix_ms, state, reason FROM liveness WHERE "
                                                       "device = ? AND change < ? ORDER BY change DESC LIMIT ?"));
  query.BindInt(1, device);
  query.BindInt(2, before);
  query.BindInt(3, limit);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return history;
    v1::LivenessView& change = *history.add_changes();
    change.set_device_id(std::string(device_id));
    change.set_at_unix_ms(static_cast<double>(query.Int(1)));
    change.set_state(std::string(query.Text(2)));
    change.set_reason(std::string(query.Text(3)));
    if (history.changes_size() == limit) history.set_next_cursor(absl::StrCat(query.Int(0)));
  }
}

}  // namespace fleet::server
