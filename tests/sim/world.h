// A whole fleet in one process, on one thread and one simulated clock: the server's state and N real agents over the
// in-memory broker. Everything that happens follows from the seed and the calls made, so a run can be had again
// exactly.
//
//   World world({.devices = 3, .seed = 7, .faults = {.loss = 0.05}});
//   world.RunFor(absl::Seconds(10));
//   world.PartitionDevice(0, true);
//
// A Referee watches as it goes; what it complains of stops the process, unless `complain` says otherwise.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/testing/memory_broker.h"
#include "tests/sim/calendar.h"
#include "tests/sim/recorder.h"
#include "tests/sim/referee.h"
#include "tests/sim/sim_device.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_store.h"

namespace fleet {

struct WorldOptions {
  uint32_t devices = 3;
  uint32_t entities = 1;
  uint64_t seed = 1;
  LinkFaults faults;  // of every link
  double state_rate_hz = 10;
  absl::Duration store_delay = absl::Milliseconds(20);
  server::FleetOptions fleet;
  bool keep_truth = true;                // false: only the hash, for great fleets
  std::optional<SimDisk::Options> disk;  // of each device; absent: none has one
  device::FailSafeOptions fail_safe;
  bool has_clone = false;  // the last device has the id of the first
  Referee::Complain complain;
  // For tests of the tests, which break something.
  SimStore::Options store;
  std::optional<absl::Duration> wrong_fail_safe_after;
};

// A segment that an operator asks for.
struct SegmentAsk {
  absl::Duration length;  // it takes so long to run
  absl::Duration ttl;
  uint32_t entity = 1;
  bool append = false;
  bool queue = false;  // for a device that is offline, too
};

class World : private ServerObserver, private DeviceObserver {
 public:
  // Everything is started.
  explicit World(const WorldOptions& options);
  ~World() override;

  void RunFor(absl::Duration d);
  // Lets the network finish what is under way while programs stand still.
  void Drain();
  MonoTime now() const { return now_; }

  void KillServer();
  void StopServer();
  void StartServer();
  void KillDevice(size_t i);
  void StopDevice(size_t i);
  void StartDevice(size_t i);
  void PartitionDevice(size_t i, bool on) { broker_.Partition(devices_[i]->id().str(), on); }
  void PartitionServer(bool on) { broker_.Partition(kServerClientId, on); }
  void JumpServerWall(absl::Duration d) { server_wall_ += d; }
  void JumpDeviceWall(size_t i, absl::Duration d) { device_wall_[i] += d; }
  // The process gets no turns. The broker cuts the connection when it has not heard of it for 1.5 keepalives.
  void FreezeServer();
  void ThawServer();
  void FreezeDevice(size_t i);
  void ThawDevice(size_t i);

  // nullopt: the server refuses it, or is not there.
  std::optional<CommandId> Submit(size_t i, const SegmentAsk& ask);
  std::optional<CommandId> Submit(size_t i, absl::Duration length, absl::Duration ttl, uint32_t entity = 1) {
    return Submit(i, {.length = length, .ttl = ttl, .entity = entity});
  }
  // False: likewise.
  bool Cancel(CommandId id);
  bool Cancel(size_t i, const v1::Cancel& cancel);
  bool StopAll();
  bool Reconcile(CommandId id);
  // A program on the device tells something; each has a token of its own.
  void TellEvent(size_t i);
  void TellSample(size_t i);
  const std::vector<size_t>& told_by() const { return told_by_; }  // device, by token

  MemoryBroker& broker() { return broker_; }
  const SimServer& server() const { return *server_; }
  bool server_is_on() const { return server_ != nullptr; }
  bool server_is_frozen() const { return server_ != nullptr && server_->is_frozen(); }
  SimDevice& device(size_t i) { return *devices_[i]; }
  const SimDevice& device(size_t i) const { return *devices_[i]; }
  size_t size() const { return devices_.size(); }
  SimStore& store() { return store_; }
  const SimStore& store() const { return store_; }
  std::mt19937_64& random() { return random_; }
  const WorldOptions& options() const { return options_; }

  // As the server sees it.
  const server::Device& Seen(size_t i) const;
  server::LivenessStatus Status(size_t i) const;
  size_t Count(server::LivenessState state) const { return server_->state().liveness().count(state); }
  // States that the device went through, in all runs of the server, since the last call.
  std::vector<server::LivenessState> TakeLiveness(size_t i) { return referee_.TakeLiveness(Seen(i).row); }

  const DeviceTruth& Truth(size_t i) const { return referee_.Truth(devices_[i]->id().str()); }
  const std::map<CommandId, CommandTruth>& command_truth() const { return referee_.commands(); }
  const Recorder& recorder() const { return recorder_; }
  uint64_t hash() const { return recorder_.hash(); }
  uint64_t messages() const { return recorder_.messages(); }

 private:
  void OnMessage(const Arrived& message, MonoTime now) override;
  void OnEvent(const server::Event& event, MonoTime now) override;
  void OnRows(const server::RowBatch& rows, MonoTime now) override;
  void OnPublish(const Publication& publication, MonoTime now) override;
  void OnSegmentStart(size_t device, const device::SegmentOrder& order, MonoTime now) override;
  void OnArrived(size_t device, const Arrived& message, MonoTime now) override;
  void OnTurn(size_t device, MonoTime now) override;

  Now ServerNow() const { return {now_, wall_ + server_wall_}; }
  Now DeviceNow(size_t i) const { return {now_, wall_ + device_wall_[i]}; }
  bool server_listens() const { return server_ != nullptr && !server_->is_frozen(); }
  MonoTime NextDue() const;
  void Step();
  void AdvanceTo(MonoTime now);
  void TurnDevices();
  void Schedule(size_t i);
  void GuardKeepalive(const std::string& client_id);
  void CutSilentLinks();

  const WorldOptions options_;
  std::mt19937_64 random_;
  MonoTime now_ = MonoTime::FromNanos(1'000'000'000);
  absl::Time wall_ = absl::FromUnixMillis(1'760'000'000'000);
  absl::Duration server_wall_;
  std::vector<absl::Duration> device_wall_;
  bool still_ = false;  // all programs stand still

  MemoryBroker broker_;  // outlives the links below
  SimStore store_;
  std::unique_ptr<SimServer> server_;
  std::vector<std::unique_ptr<SimDevice>> devices_;
  Calendar calendar_;
  std::vector<MonoTime> scheduled_;  // of each device: its entry in the calendar; others of it are old
  std::vector<uint32_t> due_devices_;
  std::map<std::string, MonoTime> cut_at_;  // by client that is frozen
  std::vector<size_t> told_by_;

  Recorder recorder_;
  Referee referee_;
};

}  // namespace fleet
