#include "tests/sim/sim_store.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "tests/sim/token.h"

namespace fleet {

using server::CommandRow;
using server::CommandStepRow;
using server::DeviceRow;
using server::RowBatch;

namespace {

constexpr uint64_t kIdLeap = 4096;  // as Store: a stop may have been sent and never stored

}  // namespace

bool SimStore::Kept::ended() const {
  return given_up || (!saved.steps.empty() && server::IsEnd(saved.steps.back().state));
}

SimStore::Answer SimStore::Commit(const RowBatch& batch) {
  if (full_) return Answer::kFull;
  if (std::exchange(refuse_next_, false)) {
    ++refused_;
    return Answer::kRefused;
  }
  for (const DeviceRow& row : batch.devices) Keep(row);
  liveness_.insert(liveness_.end(), batch.liveness.begin(), batch.liveness.end());
  KeepCommands(batch);
  KeepRecords(batch);
  KeepAccounts(batch);
  return Answer::kDone;
}

void SimStore::KeepCommands(const RowBatch& batch) {
  for (const CommandRow& row : batch.commands) {
    FLEET_CHECK(refused_ > 0 || devices_.contains(row.device_row)) << "a command of a device that is not stored";
    FLEET_CHECK(commands_.try_emplace(row.id, Kept{.saved = {.row = row, .steps = {}}}).second) << "id used twice";
  }
  for (const CommandStepRow& step : batch.steps) {
    const auto found = commands_.find(step.id);
    if (found == commands_.end()) {
      FLEET_CHECK(refused_ > 0) << "a step of a command that is not stored";
      continue;
    }
    std::vector<CommandStepRow>& steps = found->second.saved.steps;
    FLEET_CHECK(refused_ > 0 || step.number == steps.size()) << "steps are numbered without a gap";
    steps.push_back(step);
  }
  for (CommandId id : batch.given_up) {
    if (const auto found = commands_.find(id); found != commands_.end()) found->second.given_up = true;
  }
}

bool SimStore::IsLost() {
  return ++rows_ % 5 == 0 && options_.loses_records;
}

void SimStore::KeepRecords(const RowBatch& batch) {
  for (const server::EventRow& row : batch.events) {
    if (row.disk_lost) continue;  // a mark among them, and no record
    if (IsLost()) continue;
    ++records_[{row.device_row, v1::STREAM_EVENT, row.epoch, row.seq}];
    ++record_counts_[{row.device_row, v1::STREAM_EVENT}];
    if (const std::optional<uint64_t> token = TokenOf(row.event)) ++tokens_[*token];
  }
  for (const server::TelemetryRow& row : batch.telemetry) {
    v1::TelemetryBatch samples;
    FLEET_CHECK(samples.ParseFromString(row.batch)) << "a row of samples that is none";
    FLEET_CHECK(row.samples == static_cast<uint64_t>(samples.value_size())) << "a row says how many samples it has";
    FLEET_CHECK(row.first_seq == samples.first_seq()) << "a row says which samples it has";
    if (IsLost()) continue;
    for (uint64_t i = 0; i < row.samples; ++i) {
      ++records_[{row.device_row, v1::STREAM_TELEMETRY, row.epoch, row.first_seq + i}];
      ++tokens_[TokenOf(samples.value(static_cast<int>(i)))];
    }
    record_counts_[{row.device_row, v1::STREAM_TELEMETRY}] += row.samples;
  }
}

void SimStore::KeepAccounts(const RowBatch& batch) {
  for (const server::StreamTotalsRow& row : batch.stream_totals) totals_[{row.device_row, row.stream}] = row;
  for (const server::StreamAccountRow& row : batch.stream_accounts) {
    if (row.settled) {
      accounts_.erase({row.device_row, row.stream, row.epoch});
    } else {
      accounts_[{row.device_row, row.stream, row.epoch}] = row;
    }
  }
}

void SimStore::Keep(const DeviceRow& row) {
  if (row.block.count > 0) reports_[row.device_row] += row.block.count;
  DeviceRow kept = row;
  kept.block = {};
  const auto [known, is_new] = devices_.try_emplace(row.device_row, kept);
  if (is_new) return;
  if (kept.entities.empty()) kept.entities = std::move(known->second.entities);
  known->second = std::move(kept);
}

server::SavedFleet SimStore::Load(Now now) {
  server::SavedFleet fleet;
  fleet.server_epoch = ++starts_;
  if (!commands_.empty()) next_command_ = std::max(next_command_, Number(commands_.rbegin()->first) + 1);
  next_command_ += kIdLeap;
  fleet.next_command = CommandId{next_command_};
  const int64_t by_wall_ms = now.unix_ms() - now.mono.millis();
  if (!steady_offset_ms_ || options_.steady_follows_wall) steady_offset_ms_ = by_wall_ms;
  fleet.steady_offset_ms = steady_offset_ms_;
  for (const auto& [number, row] : devices_) fleet.devices.push_back(row);
  for (const auto& [id, command] : commands_) {
    if (!command.ended()) fleet.open_commands.push_back(command.saved);
  }
  for (const auto& [key, row] : totals_) fleet.stream_totals.push_back(row);
  for (const auto& [key, row] : accounts_) fleet.stream_accounts.push_back(row);
  return fleet;
}

uint64_t SimStore::reports_of(int64_t device_row) const {
  const auto found = reports_.find(device_row);
  return found == reports_.end() ? 0 : found->second;
}

std::optional<int64_t> SimStore::RowOf(absl::string_view device_id) const {
  for (const auto& [number, row] : devices_) {
    if (row.id.view() == device_id) return number;
  }
  return std::nullopt;
}

int SimStore::CountOf(int64_t device_row, v1::Stream stream, uint32_t epoch, uint64_t seq) const {
  const auto found = records_.find({device_row, stream, epoch, seq});
  return found == records_.end() ? 0 : found->second;
}

uint64_t SimStore::RecordsOf(int64_t device_row, v1::Stream stream) const {
  const auto found = record_counts_.find({device_row, stream});
  return found == record_counts_.end() ? 0 : found->second;
}

}  // namespace fleet
