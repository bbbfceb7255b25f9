// A device in a simulation: the real agent, killed and started like a machine. What survives is its start counter.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "common/testing/memory_broker.h"
#include "device/linked_agent.h"

namespace fleet {

class SimDevice {
 public:
  // A segment begins to move an entity.
  using StartObserver = std::function<void(const device::SegmentOrder& order, MonoTime now)>;

  struct Options {
    DeviceId id;
    uint32_t entities = 1;  // numbered 1, 2, ...
    double state_rate_hz = 0;
    absl::Duration phase;
  };
  SimDevice(const Options& options, StartObserver on_start) : options_(options), on_start_(std::move(on_start)) {}

  void Start(MemoryBroker& broker, LinkSink sink, Now now);
  void Kill() { agent_.reset(); }
  void Stop();  // says goodbye
  void LoseDisk() { epoch_ = 0; }

  void Handle(LinkEvent&& event, Now now);
  void Turn(Now now) { due_ = agent_->Turn(now); }
  // MonoTime::Max() when it is off.
  MonoTime NextDue() const { return agent_ ? due_ : MonoTime::Max(); }

  const DeviceId& id() const { return options_.id; }
  bool is_on() const { return agent_ != nullptr; }
  const device::LinkedAgent& agent() const { return *agent_; }

 private:
  const Options options_;
  const StartObserver on_start_;
  uint32_t epoch_ = 0;
  MonoTime due_ = MonoTime::Max();
  std::unique_ptr<device::LinkedAgent> agent_;
};

}  // namespace fleet
