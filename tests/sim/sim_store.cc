#include "tests/sim/sim_store.h"

#include <utility>

#include "common/status_macros.h"

namespace fleet {

using server::CommandRow;
using server::CommandStepRow;
using server::DeviceRow;
using server::SavedCommand;

void SimStore::Commit(const server::RowBatch& batch) {
  for (const DeviceRow& row : batch.devices) Keep(row);
  liveness_.insert(liveness_.end(), batch.liveness.begin(), batch.liveness.end());
  for (const CommandRow& row : batch.commands) {
    FLEET_CHECK(devices_.contains(row.device_row)) << "a command of a device that is not stored";
    FLEET_CHECK(commands_.try_emplace(row.id, SavedCommand{.row = row, .steps = {}}).second) << "id used twice";
  }
  for (const CommandStepRow& step : batch.steps) {
    SavedCommand& command = commands_.at(step.id);
    FLEET_CHECK(step.number == command.steps.size()) << "steps are numbered without a gap";
    command.steps.push_back(step);
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

server::SavedFleet SimStore::Load() {
  server::SavedFleet fleet;
  fleet.server_epoch = ++starts_;
  if (!commands_.empty()) fleet.next_command = CommandId{Number(commands_.rbegin()->first) + 1};
  for (const auto& [number, row] : devices_) fleet.devices.push_back(row);
  for (const auto& [id, command] : commands_) {
    if (!server::HasEnded(command.steps.back().state)) fleet.open_commands.push_back(command);
  }
  return fleet;
}

uint64_t SimStore::reports_of(int64_t device_row) const {
  const auto found = reports_.find(device_row);
  return found == reports_.end() ? 0 : found->second;
}

}  // namespace fleet
