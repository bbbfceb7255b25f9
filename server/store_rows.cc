#include "server/store_rows.h"

#include <array>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace fleet::server {
namespace {

// command.kind of each alternative of CommandBody.
constexpr std::array<int, std::variant_size_v<CommandBody>> kKinds = {
    v1::Command::kSegmentFieldNumber, v1::Command::kCancelFieldNumber,    v1::Command::kCanSendFieldNumber,
    v1::Command::kCanTapFieldNumber,  v1::Command::kClearDtcsFieldNumber, v1::Command::kModbusFieldNumber};

// Empty; nullopt: a kind that is none.
std::optional<CommandBody> BodyOfKind(int64_t kind) {
  switch (kind) {
    case v1::Command::kSegmentFieldNumber:
      return v1::Segment();
    case v1::Command::kCancelFieldNumber:
      return v1::Cancel();
    case v1::Command::kCanSendFieldNumber:
      return v1::CanSend();
    case v1::Command::kCanTapFieldNumber:
      return v1::CanTap();
    case v1::Command::kClearDtcsFieldNumber:
      return v1::ClearDtcs();
    case v1::Command::kModbusFieldNumber:
      return v1::ModbusCall();
    default:
      return std::nullopt;
  }
}

absl::Status LoadEntities(Database& database, DeviceRow& device) {
  ASSIGN_OR_RETURN(Statement query, database.Prepare("SELECT entity_id, x_mm, y_mm, angle_mdeg, vx_mm_s, vy_mm_s, "
                                                     "received_unix_ms FROM entity WHERE device = ?"));
  query.BindInt(1, device.device_row);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return absl::OkStatus();
    device.entities.push_back({.id = EntityId{static_cast<uint32_t>(query.Int(0))},
                               .x_mm = static_cast<int32_t>(query.Int(1)),
                               .y_mm = static_cast<int32_t>(query.Int(2)),
                               .angle_mdeg = static_cast<int32_t>(query.Int(3)),
                               .vx_mm_s = static_cast<int32_t>(query.Int(4)),
                               .vy_mm_s = static_cast<int32_t>(query.Int(5)),
                               .received_unix_ms = query.Int(6)});
  }
}

absl::Status LoadLoss(Database& database, DeviceRow& device) {
  ASSIGN_OR_RETURN(Statement query,
                   database.Prepare("SELECT stream, epoch, highest, seen, expected, stored, duplicate, "
                                    "reordered FROM loss WHERE device = ?"));
  query.BindInt(1, device.device_row);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return absl::OkStatus();
    SequenceTracker::Saved& saved = query.Text(0) == "heartbeat" ? device.heartbeats : device.states;
    saved = {.epoch = static_cast<uint32_t>(query.Int(1)),
             .highest = static_cast<uint32_t>(query.Int(2)),
             .seen = static_cast<uint64_t>(query.Int(3)),
             .expected = static_cast<uint64_t>(query.Int(4)),
             .stored = static_cast<uint64_t>(query.Int(5)),
             .duplicate = static_cast<uint64_t>(query.Int(6)),
             .reordered = static_cast<uint64_t>(query.Int(7))};
  }
}

}  // namespace

void BindDevice(const DeviceRow& row, Statement& insert) {
  insert.BindInt(1, row.device_row);
  insert.BindText(2, row.id.view());
  insert.BindInt(3, row.epoch);
  insert.BindInt(4, static_cast<int64_t>(row.started_unix_ms));
  insert.BindText(5, row.version);
  insert.BindText(6, Name(row.liveness.state));
  insert.BindText(7, Name(row.liveness.reason));
  insert.BindInt(8, row.state_since_unix_ms);
  insert.BindInt(9, row.last_seen_unix_ms);
}

void BindEntity(int64_t device, const EntityRow& row, Statement& insert) {
  insert.BindInt(1, device);
  insert.BindInt(2, Number(row.id));
  insert.BindInt(3, row.x_mm);
  insert.BindInt(4, row.y_mm);
  insert.BindInt(5, row.angle_mdeg);
  insert.BindInt(6, row.vx_mm_s);
  insert.BindInt(7, row.vy_mm_s);
  insert.BindInt(8, row.received_unix_ms);
}

void BindLoss(int64_t device, absl::string_view stream, const SequenceTracker::Saved& saved, Statement& insert) {
  insert.BindInt(1, device);
  insert.BindText(2, stream);
  insert.BindInt(3, saved.epoch);
  insert.BindInt(4, saved.highest);
  insert.BindInt(5, static_cast<int64_t>(saved.seen));
  insert.BindInt(6, static_cast<int64_t>(saved.expected));
  insert.BindInt(7, static_cast<int64_t>(saved.stored));
  insert.BindInt(8, static_cast<int64_t>(saved.duplicate));
  insert.BindInt(9, static_cast<int64_t>(saved.reordered));
}

void BindCommand(const CommandRow& row, Statement& insert) {
  insert.BindInt(1, static_cast<int64_t>(Number(row.id)));
  insert.BindInt(2, row.device_row);
  insert.BindInt(3, kKinds[row.body.index()]);
  insert.BindBlob(4, std::visit([](const auto& body) { return body.SerializeAsString(); }, row.body));
  insert.BindInt(5, row.issued_unix_ms);
  insert.BindInt(6, row.ttl_ms);
}

void BindStep(const CommandStepRow& row, Statement& insert) {
  insert.BindInt(1, static_cast<int64_t>(Number(row.id)));
  insert.BindInt(2, row.number);
  insert.BindInt(3, row.state);
  insert.BindText(4, row.reason);
  insert.BindText(5, row.detail);
  insert.BindInt(6, row.at_unix_ms);
  insert.BindInt(7, row.since_issue_ms);
}

absl::Status LoadDevices(Database& database, std::vector<DeviceRow>& out) {
  ASSIGN_OR_RETURN(Statement query,
                   database.Prepare("SELECT device, id, epoch, started_unix_ms, version, state, reason, "
                                    "state_since_unix_ms, last_seen_unix_ms FROM device ORDER BY device"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    ASSIGN_OR_RETURN(const DeviceId id, DeviceId::Parse(query.Text(1)));
    DeviceRow row{.device_row = query.Int(0), .id = id};
    row.epoch = static_cast<uint32_t>(query.Int(2));
    row.started_unix_ms = static_cast<uint64_t>(query.Int(3));
    row.version = std::string(query.Text(4));
    row.liveness = {ParseLivenessState(query.Text(5)), ParseOfflineReason(query.Text(6))};
    row.state_since_unix_ms = query.Int(7);
    row.last_seen_unix_ms = query.Int(8);
    out.push_back(std::move(row));
  }
  for (DeviceRow& row : out) {
    RETURN_IF_ERROR(LoadEntities(database, row));
    RETURN_IF_ERROR(LoadLoss(database, row));
  }
  return absl::OkStatus();
}

absl::StatusOr<CommandRow> ReadCommand(const Statement& query) {
  std::optional<CommandBody> empty = BodyOfKind(query.Int(2));
  if (!empty) return absl::DataLossError(absl::StrCat("command ", query.Int(0), " is of kind ", query.Int(2)));
  CommandRow row{
      .id = CommandId{static_cast<uint64_t>(query.Int(0))}, .device_row = query.Int(1), .body = *std::move(empty)};
  const absl::string_view bytes = query.Blob(3);
  const bool parsed = std::visit(
      [&](auto& body) { return body.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())); }, row.body);
  if (!parsed) return absl::DataLossError(absl::StrCat("the body of command ", query.Int(0), " does not parse"));
  row.issued_unix_ms = query.Int(4);
  row.ttl_ms = query.Int(5);
  return row;
}

absl::StatusOr<std::vector<CommandStepRow>> ReadSteps(Database& database, CommandId id) {
  std::vector<CommandStepRow> steps;
  ASSIGN_OR_RETURN(Statement query, database.Prepare("SELECT number, state, reason, detail, at_unix_ms, since_issue_ms "
                                                     "FROM command_step WHERE command = ? ORDER BY number"));
  query.BindInt(1, static_cast<int64_t>(Number(id)));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return steps;
    steps.push_back({.id = id,
                     .number = static_cast<uint32_t>(query.Int(0)),
                     .state = static_cast<v1::CommandState>(query.Int(1)),
                     .reason = std::string(query.Text(2)),
                     .detail = std::string(query.Text(3)),
                     .at_unix_ms = query.Int(4),
                     .since_issue_ms = query.Int(5)});
  }
}

absl::Status LoadOpenCommands(Database& database, std::vector<SavedCommand>& out) {
  ASSIGN_OR_RETURN(Statement query,
                   database.Prepare("SELECT id, device, kind, body, issued_unix_ms, ttl_ms FROM command "
                                    "WHERE ended = 0 ORDER BY id"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    ASSIGN_OR_RETURN(CommandRow row, ReadCommand(query));
    out.push_back({.row = std::move(row), .steps = {}});
  }
  for (SavedCommand& command : out) {
    ASSIGN_OR_RETURN(command.steps, ReadSteps(database, command.row.id));
  }
  return absl::OkStatus();
}

}  // namespace fleet::server
