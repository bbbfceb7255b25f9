#include "tests/sim/sim_device.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "device/simulated_driver.h"

namespace fleet {
namespace {

// Moves like a simulated entity and tells when it begins to.
class WatchedDriver : public device::EntityDriver {
 public:
  explicit WatchedDriver(const SimDevice::StartObserver& on_start) : on_start_(on_start) {}

  absl::StatusOr<MonoTime> Start(const device::SegmentOrder& order, MonoTime now, device::Effects& effects) override {
    on_start_(order, now);
    return driver_.Start(order, now, effects);
  }
  void Stop(const device::SegmentOrder& order, MonoTime now, device::Effects& effects) override {
    driver_.Stop(order, now, effects);
  }
  std::optional<device::Pose> PoseAt(MonoTime now) const override { return driver_.PoseAt(now); }

 private:
  const SimDevice::StartObserver& on_start_;
  device::SimulatedDriver driver_;
};

}  // namespace

void SimDevice::Start(MemoryBroker& broker, LinkSink sink, Now now) {
  device::AgentOptions options{.device = options_.id,
                               .epoch = ++epoch_,
                               .started_unix_ms = now.unix_ms(),
                               .version = "sim",
                               .state_period = device::PeriodOf(options_.state_rate_hz),
                               .phase = options_.phase};
  for (uint32_t entity = 1; entity <= options_.entities; ++entity) {
    options.entities.push_back({.id = EntityId{entity}, .driver = std::make_unique<WatchedDriver>(on_start_)});
  }
  agent_ = std::make_unique<device::LinkedAgent>(std::move(options), now);
  agent_->Attach(broker.Connect(agent_->CompleteLinkOptions({}), std::move(sink)));
  due_ = now.mono;
}

void SimDevice::Stop() {
  agent_->Close(absl::Seconds(1)).IgnoreError();  // without a link there is nobody to say goodbye to
  agent_.reset();
}

void SimDevice::Handle(LinkEvent&& event, Now now) {
  const bool lost = std::holds_alternative<LinkDown>(event);
  std::visit([&](auto& e) { agent_->Handle(std::move(e), now); }, event);
  due_ = lost ? now.mono : std::min(due_, agent_->agent().NextDue());
}

}  // namespace fleet
