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
  WatchedDriver(DeviceObserver& observer, size_t number, SimDevice::Motion& motion)
      : observer_(observer), number_(number), motion_(motion) {}

  absl::StatusOr<MonoTime> Start(const device::SegmentOrder& order, MonoTime now, device::Effects& effects) override {
    observer_.OnSegmentStart(number_, order, now);
    absl::StatusOr<MonoTime> end = driver_.Start(order, now, effects);
    if (end.ok()) motion_ = {.began = now, .ends = *end};
    return end;
  }
  void Stop(const device::SegmentOrder& order, MonoTime now, device::Effects& effects) override {
    driver_.Stop(order, now, effects);
    motion_.ends = now;
  }
  std::optional<device::Pose> PoseAt(MonoTime now) const override { return driver_.PoseAt(now); }

 private:
  DeviceObserver& observer_;
  const size_t number_;
  SimDevice::Motion& motion_;
  device::SimulatedDriver driver_;
};

}  // namespace

SimDevice::SimDevice(const Options& options, DeviceObserver& observer) : observer_(observer), options_(options) {
  if (options.disk) disk_.emplace(*options.disk);
}

void SimDevice::Start(MemoryBroker& broker, LinkSink sink, Now now) {
  now_ = now.mono;
  epoch_ = disk_ ? disk_->NextEpoch() : epoch_ + 1;
  device::AgentOptions options{.device = options_.id,
                               .epoch = epoch_,
                               .started_unix_ms = now.unix_ms(),
                               .version = "sim",
                               .state_period = device::PeriodOf(options_.state_rate_hz),
                               .phase = options_.phase,
                               .fail_safe = options_.fail_safe};
  motions_.assign(options_.entities, {});
  for (uint32_t entity = 1; entity <= options_.entities; ++entity) {
    options.entities.push_back(
        {.id = EntityId{entity},
         .driver = std::make_unique<WatchedDriver>(observer_, options_.number, motions_[entity - 1])});
  }
  inherited_ = {};
  if (disk_) {
    options.spool = disk_->Contents();
    for (const v1::EpochAccount& account : options.spool->accounts) inherited_[account.stream()] += account.waiting();
  }
  agent_ = std::make_unique<device::LinkedAgent>(std::move(options), now);
  if (disk_) agent_->SetSpoolSink([this](device::SpoolWork work) { disk_->Push(std::move(work), now_); });
  agent_->Attach(broker.Connect(agent_->CompleteLinkOptions({}), std::move(sink)));
  due_ = now.mono;
}

void SimDevice::EndLife() {
  for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) {
    made_before_[stream] += agent_->agent().outbox().counters().made[stream];
  }
  agent_.reset();
  frozen_ = false;
  waiting_.clear();
}

void SimDevice::Kill() {
  ++crashes_;
  EndLife();
  if (disk_) disk_->Crash();
}

void SimDevice::Stop(Now now) {
  now_ = now.mono;
  agent_->Flush(now);
  if (disk_) disk_->Finish(now);
  agent_->Close(absl::Seconds(1)).IgnoreError();  // without a link there is nobody to say goodbye to
  EndLife();
}

void SimDevice::LoseDisk() {
  ++losses_;
  epoch_ = 0;
  if (disk_) disk_->Lose();
}

void SimDevice::Thaw(Now now) {
  frozen_ = false;
  due_ = now.mono;
  for (LinkEvent& event : std::exchange(waiting_, {})) HandleNow(std::move(event), now);
}

void SimDevice::Handle(LinkEvent&& event, Now now) {
  if (frozen_) return waiting_.push_back(std::move(event));
  HandleNow(std::move(event), now);
}

void SimDevice::HandleNow(LinkEvent&& event, Now now) {
  now_ = now.mono;
  if (const auto* arrived = std::get_if<Arrived>(&event)) observer_.OnArrived(options_.number, *arrived, now.mono);
  const bool lost = std::holds_alternative<LinkDown>(event);
  std::visit([&](auto& e) { agent_->Handle(std::move(e), now); }, event);
  due_ = lost ? now.mono : std::min(due_, agent_->agent().NextDue());
}

void SimDevice::Tell(const device::Input& input, Now now) {
  now_ = now.mono;
  agent_->Handle(input, now);
  due_ = std::min(due_, agent_->agent().NextDue());
}

void SimDevice::Turn(Now now) {
  now_ = now.mono;
  if (disk_) disk_->RunUntil(now, [&](device::SpoolDone done) { agent_->Handle(std::move(done), now); });
  due_ = agent_->Turn(now);
  observer_.OnTurn(options_.number, now.mono);
}

MonoTime SimDevice::NextDue() const {
  if (!agent_ || frozen_) return MonoTime::Max();
  return disk_ ? std::min(due_, disk_->NextDue()) : due_;
}

uint64_t SimDevice::made(v1::Stream stream) const {
  const uint64_t now = agent_ ? agent_->agent().outbox().counters().made[stream] : 0;
  return made_before_[stream] + now;
}

}  // namespace fleet
