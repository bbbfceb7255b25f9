// A device in a simulation: the real agent, killed, frozen and started like a machine. What survives is its disk; a
// device without one keeps its start counter only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "common/testing/memory_broker.h"
#include "device/linked_agent.h"
#include "tests/sim/sim_disk.h"

namespace fleet {

// Sees what a device does, as it does it.
class DeviceObserver {
 public:
  virtual ~DeviceObserver() = default;
  // A segment begins to move an entity.
  virtual void OnSegmentStart(size_t device, const device::SegmentOrder& order, MonoTime now) = 0;
  // The agent is about to take this message.
  virtual void OnArrived(size_t device, const Arrived& message, MonoTime now) = 0;
  // The agent has had its turn.
  virtual void OnTurn(size_t device, MonoTime now) = 0;
};

class SimDevice {
 public:
  struct Options {
    size_t number = 0;  // for the observer
    DeviceId id;
    uint32_t entities = 1;  // numbered 1, 2, ...
    double state_rate_hz = 0;
    absl::Duration phase;
    device::FailSafeOptions fail_safe;
    std::optional<SimDisk::Options> disk;
  };
  SimDevice(const Options& options, DeviceObserver& observer);

  void Start(MemoryBroker& broker, LinkSink sink, Now now);
  void Kill();
  void Stop(Now now);  // keeps what it has, and says goodbye
  void LoseDisk();     // while it is off

  // The process stands still: what arrives waits for it.
  void Freeze() { frozen_ = true; }
  void Thaw(Now now);

  void Handle(LinkEvent&& event, Now now);
  void Tell(const device::Input& input, Now now);  // by a program on the device
  void Turn(Now now);
  // MonoTime::Max() when it is off, or stands still.
  MonoTime NextDue() const;

  const DeviceId& id() const { return options_.id; }
  bool is_on() const { return agent_ != nullptr; }
  bool is_frozen() const { return frozen_; }
  const device::LinkedAgent& agent() const { return *agent_; }
  SimDisk* disk() { return disk_ ? &*disk_ : nullptr; }
  const SimDisk* disk() const { return disk_ ? &*disk_ : nullptr; }

  // A segment that has begun and not ended. `ended`: when it will end by itself.
  struct Motion {
    MonoTime began;
    MonoTime ends;
  };
  // As the driver knows it, of entity i + 1.
  const std::vector<Motion>& motions() const { return motions_; }
  // When this life began, records of earlier ones that waited on the disk.
  uint64_t inherited(v1::Stream stream) const { return inherited_[stream]; }
  // Records made in all lives.
  uint64_t made(v1::Stream stream) const;
  int crashes() const { return crashes_; }
  int losses() const { return losses_; }  // of the disk
  // It lost its disk and has had several lives on the new one. A server that heard of none but the last takes that for
  // the next life on the old disk, and records of the others for those that had their numbers before.
  bool uses_numbers_anew() const { return losses_ > 0 && epoch_ > 1; }

 private:
  void HandleNow(LinkEvent&& event, Now now);
  void EndLife();

  uint32_t epoch_ = 0;  // of this life, or the last one
  int crashes_ = 0;
  int losses_ = 0;
  std::vector<Motion> motions_;  // outlives the agent's drivers
  std::array<uint64_t, 3> inherited_{};
  std::array<uint64_t, 3> made_before_{};
  std::vector<LinkEvent> waiting_;  // while it stands still
  std::optional<SimDisk> disk_;     // outlives the agent

  // What each turn touches, close together.
  bool frozen_ = false;
  MonoTime now_;  // of the call under way
  MonoTime due_ = MonoTime::Max();
  std::unique_ptr<device::LinkedAgent> agent_;
  DeviceObserver& observer_;
  const Options options_;
};

}  // namespace fleet
