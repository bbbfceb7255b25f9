// The server's database in a simulation: takes row batches, and gives back what a restarted server continues from.
#pragma once

#include <cstdint>
#include <map>

#include "server/fleet_state.h"
#include "server/rows.h"

namespace fleet {

class SimStore {
 public:
  void Commit(const server::RowBatch& batch);
  // Counts the start of the server.
  server::SavedFleet Load();

  const std::map<CommandId, server::SavedCommand>& commands() const { return commands_; }
  // State reports in the history of the device.
  uint64_t reports_of(int64_t device_row) const;
  const std::vector<server::LivenessRow>& liveness() const { return liveness_; }

 private:
  void Keep(const server::DeviceRow& row);

  uint32_t starts_ = 0;
  std::map<int64_t, server::DeviceRow> devices_;  // without blocks
  std::map<int64_t, uint64_t> reports_;
  std::map<CommandId, server::SavedCommand> commands_;
  std::vector<server::LivenessRow> liveness_;
};

}  // namespace fleet
