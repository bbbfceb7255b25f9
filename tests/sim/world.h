// A whole fleet in one process, on one thread and one simulated clock: the server's state and N real agents over the
// in-memory broker. Everything that happens follows from the seed and the calls made, so a run can be had again
// exactly.
//
//   World world({.devices = 3, .seed = 7, .faults = {.loss = 0.05}});
//   world.RunFor(absl::Seconds(10));
//   world.PartitionDevice(0, true);
//
// The world checks as it goes, and stops the process when it finds it broken: a device is declared silent only when it
// has been silent; no command starts twice or too late; steps and ids are stored in order.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/testing/memory_broker.h"
#include "tests/sim/calendar.h"
#include "tests/sim/sim_device.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/stable_hash.h"
#include "tests/sim/truth.h"

namespace fleet {

struct WorldOptions {
  uint32_t devices = 3;
  uint32_t entities = 1;
  uint64_t seed = 1;
  LinkFaults faults;  // of every link
  double state_rate_hz = 10;
  absl::Duration store_delay = absl::Milliseconds(20);
  server::FleetOptions fleet;
  bool keep_truth = true;  // false: only the hash, for great fleets
};

class World : private ServerObserver {
 public:
  // Everything is started.
  explicit World(const WorldOptions& options);
  ~World() override;

  void RunFor(absl::Duration d);
  // Lets the network finish what is under way while programs stand still.
  void Drain();
  MonoTime now() const { return now_; }

  void KillServer() { server_.reset(); }
  void StopServer();
  void StartServer();
  void KillDevice(size_t i) { devices_[i]->Kill(); }
  void StopDevice(size_t i) { devices_[i]->Stop(); }
  void StartDevice(size_t i);
  void PartitionDevice(size_t i, bool on) { broker_.Partition(devices_[i]->id().str(), on); }
  void PartitionServer(bool on) { broker_.Partition(kServerClientId, on); }
  void JumpServerWall(absl::Duration d) { server_wall_ += d; }
  void JumpDeviceWall(size_t i, absl::Duration d) { device_wall_[i] += d; }

  // A segment that takes `length` to run. nullopt: the server refuses it, or is not there.
  std::optional<CommandId> Submit(size_t i, absl::Duration length, absl::Duration ttl, uint32_t entity = 1);

  MemoryBroker& broker() { return broker_; }
  const SimServer& server() const { return *server_; }
  bool server_is_on() const { return server_ != nullptr; }
  SimDevice& device(size_t i) { return *devices_[i]; }
  size_t size() const { return devices_.size(); }
  SimStore& store() { return store_; }
  std::mt19937_64& random() { return random_; }

  // As the server sees it.
  const server::Device& Seen(size_t i) const;
  server::LivenessStatus Status(size_t i) const;
  size_t Count(server::LivenessState state) const { return server_->state().liveness().count(state); }
  // States that the device went through, in all runs of the server, since the last call.
  std::vector<server::LivenessState> TakeLiveness(size_t i);

  const DeviceTruth& Truth(size_t i) const { return truth_.at(devices_[i]->id().str()); }
  const std::map<CommandId, CommandTruth>& command_truth() const { return command_truth_; }
  uint64_t beats_published() const { return beats_published_; }
  uint64_t beats_arrived() const { return beats_arrived_; }
  uint64_t probes_published() const { return probes_published_; }
  uint64_t probes_arrived() const { return probes_arrived_; }

  uint64_t hash() const { return hash_.value(); }
  uint64_t messages() const { return messages_; }  // that reached the server or a device

 private:
  void OnMessage(const Arrived& message, MonoTime now) override;
  void OnEvent(const server::Event& event, MonoTime now) override;
  void OnRows(const server::RowBatch& rows, MonoTime now) override;
  void OnPublish(const Publication& publication, MonoTime now) override;
  void OnBeat(size_t i, const Arrived& beat);
  void OnSegmentStart(size_t i, const device::SegmentOrder& order);
  void HashMessage(absl::string_view topic, absl::string_view payload, MonoTime now);
  void CheckLiveness(const server::LivenessRow& row, MonoTime now);

  Now ServerNow() const { return {now_, wall_ + server_wall_}; }
  Now DeviceNow(size_t i) const { return {now_, wall_ + device_wall_[i]}; }
  MonoTime NextDue() const;
  void Step();
  void AdvanceTo(MonoTime now);
  void TurnDevices();
  void Schedule(size_t i);

  const WorldOptions options_;
  std::mt19937_64 random_;
  MonoTime now_ = MonoTime::FromNanos(1'000'000'000);
  absl::Time wall_ = absl::FromUnixMillis(1'760'000'000'000);
  absl::Duration server_wall_;
  std::vector<absl::Duration> device_wall_;
  bool frozen_ = false;  // programs stand still

  MemoryBroker broker_;  // outlives the links below
  SimStore store_;
  std::unique_ptr<SimServer> server_;
  std::vector<std::unique_ptr<SimDevice>> devices_;
  Calendar calendar_;
  std::vector<MonoTime> scheduled_;  // of each device: its entry in the calendar; others of it are old
  std::vector<uint32_t> due_devices_;

  std::map<std::string, DeviceTruth, std::less<>> truth_;
  std::vector<BeatTruth> beat_truth_;                                // of each device
  std::map<std::pair<uint32_t, uint64_t>, MonoTime> beats_sent_at_;  // by server epoch and steady time
  std::map<CommandId, CommandTruth> command_truth_;
  std::map<int64_t, std::vector<server::LivenessState>> liveness_;  // by device row
  uint64_t beats_published_ = 0;
  uint64_t beats_arrived_ = 0;
  uint64_t probes_published_ = 0;
  uint64_t probes_arrived_ = 0;
  uint64_t messages_ = 0;
  StableHash hash_;
};

}  // namespace fleet
