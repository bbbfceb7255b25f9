// Watches a simulated world and complains of everything that must never happen, judged by its own plain truth:
//   a command starts twice, over all lives of its device, or starts too late;
//   a device is declared silent, lost or gone that was not;
//   a device hears a receipt for a record that is not stored, or is stored twice;
//   a device's records do not add up: made = receipted + dropped + waiting;
//   an entity goes on moving although the server has been silent for too long.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/sim_device.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/truth.h"

namespace fleet {

class Referee {
 public:
  using Complain = std::function<void(const std::string&)>;
  struct Watched {
    const std::vector<std::unique_ptr<SimDevice>>& devices;
    const std::unique_ptr<SimServer>& server;
    const SimStore& store;
  };
  Referee(const Watched& watched, const device::FailSafeOptions& fail_safe, Complain complain)
      : watched_(watched), fail_safe_(fail_safe), complain_(std::move(complain)) {}

  // On the server.
  void OnEvent(const server::Event& event, MonoTime now);
  void OnRows(const server::RowBatch& rows, MonoTime now);
  void OnPublish(const Publication& publication, MonoTime now);

  // On a device.
  void OnStart(size_t device, MonoTime now);
  void OnStop(size_t device);
  void OnBeat(size_t device, const Arrived& message, MonoTime now);
  void OnReceipt(size_t device, const Arrived& message);
  void OnSegment(size_t device, const Arrived& message, MonoTime now);
  void OnSegmentStart(size_t device, const device::SegmentOrder& order, MonoTime now);
  void OnTurn(size_t device, MonoTime now);

  const DeviceTruth& Truth(const std::string& device_id) const { return truth_.at(device_id); }
  const std::map<CommandId, CommandTruth>& commands() const { return commands_; }
  // States that the device went through, in all runs of the server, since the last call.
  std::vector<server::LivenessState> TakeLiveness(int64_t device_row) {
    return std::exchange(liveness_[device_row], {});
  }

 private:
  void CheckLiveness(const server::LivenessRow& row, MonoTime now);
  void CheckSums(size_t device);
  void CheckFailSafe(size_t device, MonoTime now);
  bool IsStopped(uint32_t entity) const {
    return fail_safe_.PolicyOf(EntityId{entity}) == device::FailSafePolicy::kStop;
  }

  const Watched watched_;
  const device::FailSafeOptions fail_safe_;
  const Complain complain_;
  std::map<std::string, DeviceTruth, std::less<>> truth_;
  std::map<size_t, BeatTruth> beats_;
  std::map<std::pair<uint32_t, uint64_t>, MonoTime> beats_sent_at_;  // by server epoch and steady time
  std::map<CommandId, CommandTruth> commands_;
  std::map<int64_t, std::vector<server::LivenessState>> liveness_;  // by device row
};

}  // namespace fleet
