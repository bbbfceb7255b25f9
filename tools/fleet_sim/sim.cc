#include "tools/fleet_sim/sim.h"

#include <algorithm>
#include <array>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/logging.h"
#include "common/paho_link.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "device/simulated_driver.h"

namespace fleet {

using device::Agent;
using device::LinkedAgent;

Sim::Sim(const SimOptions& options, const Clock& clock, EventLoop& loop)
    : options_(options),
      clock_(clock),
      loop_(loop),
      started_(clock.Read()),
      inbox_(kInboxPerDevice * options.devices, options.devices, [this] { loop_.Wake(); }),
      ends_at_(started_.mono + kConnectTimeout) {}

absl::StatusOr<std::unique_ptr<Sim>> Sim::Open(const SimOptions& options, const Clock& clock, EventLoop& loop) {
  auto sim = std::unique_ptr<Sim>(new Sim(options, clock, loop));
  std::mt19937_64 random(options.seed);
  for (uint32_t i = 0; i < options.devices; ++i) {
    RETURN_IF_ERROR(sim->AddDevice(i, absl::Milliseconds(random() % 500)));
  }
  return sim;
}

absl::Status Sim::AddDevice(uint32_t index, absl::Duration phase) {
  ASSIGN_OR_RETURN(const DeviceId id, DeviceId::Parse(absl::StrFormat("%s%04d", options_.id_prefix, index + 1)));
  device::AgentOptions options{.device = id,
                               .epoch = static_cast<uint32_t>(absl::ToUnixSeconds(started_.wall)),
                               .started_unix_ms = started_.unix_ms(),
                               .version = FLEET_VERSION,
                               .state_period = device::PeriodOf(options_.state_rate_hz),
                               .phase = phase};
  for (uint32_t entity = 1; entity <= options_.entities; ++entity) {
    options.entities.push_back({EntityId{entity}, std::make_unique<device::SimulatedDriver>()});
  }
  auto agent = std::make_unique<LinkedAgent>(std::move(options), started_);
  ASSIGN_OR_RETURN(std::unique_ptr<MqttLink> link,
                   PahoLink::Open(agent->CompleteLinkOptions(options_.link),
                                  [this, index](LinkEvent event) { inbox_.PushEvent(index, std::move(event)); }));
  agent->Attach(std::move(link));
  devices_.push_back({.agent = std::move(agent)});
  Schedule(index, started_.mono + phase);
  return absl::OkStatus();
}

absl::Status Sim::Run() {
  loop_.Run([this](Now now) { return Turn(now); });
  stopped_at_ = clock_.Read().mono;
  const size_t up = up_count();
  const absl::Status closed = Close();
  if (!all_up_) {
    return absl::DeadlineExceededError(absl::StrCat(up, " of ", options_.devices, " agents connected to ",
                                                    options_.link.url, ": is the broker there, and open for so many?"));
  }
  return closed;
}

MonoTime Sim::Turn(Now now) {
  inbox_.Drain([&](device::Inbox::Item& item) {
    LogLoss(item, now.mono);
    devices_[item.agent].agent->Handle(item.input, now);
    TakeTurn(item.agent, now);
  });
  while (!due_.empty() && due_.top().first <= now.mono) {
    const auto [due, index] = due_.top();
    due_.pop();
    if (due == devices_[index].scheduled) TakeTurn(index, now);
  }
  FollowPhase(now);
  return std::min(ends_at_, due_.empty() ? MonoTime::Max() : due_.top().first);
}

void Sim::LogLoss(const device::Inbox::Item& item, MonoTime now) {
  const auto* down = std::get_if<LinkDown>(&item.input);
  if (down == nullptr) return;
  if (const auto skipped = loss_log_.Allow(now)) {
    LogWarn("agent not connected device_id={} reason={} skipped={}",
            devices_[item.agent].agent->agent().device().view(), down->reason, *skipped);
  }
}

void Sim::TakeTurn(uint32_t index, Now now) {
  Schedule(index, devices_[index].agent->Turn(now));
}

void Sim::Schedule(uint32_t index, MonoTime due) {
  if (due == devices_[index].scheduled) return;
  devices_[index].scheduled = due;
  if (due != MonoTime::Max()) due_.emplace(due, index);
}

void Sim::FollowPhase(Now now) {
  if (!all_up_ && up_count() == devices_.size()) {
    all_up_ = true;
    running_since_ = now.mono;
    ends_at_ = now.mono + options_.duration;
    LogInfo("all agents connected devices={} after_ms={}", devices_.size(),
            absl::ToInt64Milliseconds(now.mono - started_.mono));
  }
  if (now.mono >= ends_at_) loop_.Stop();
}

size_t Sim::up_count() const {
  return static_cast<size_t>(
      std::ranges::count_if(devices_, [](const Device& device) { return device.agent->agent().link_up(); }));
}

absl::Status Sim::Close() {
  absl::Status first_error;
  for (const Device& device : devices_) first_error.Update(device.agent->Close(kCloseTimeout));
  return first_error;
}

std::string Sim::Summary() const {
  constexpr std::array<absl::string_view, kDeviceTopics> kNames = {"heartbeat", "state",     "status", "command_ack",
                                                                   "event",     "telemetry", "ledger"};
  uint64_t sent[kDeviceTopics] = {};
  uint64_t dropped = inbox_.dropped();
  uint64_t received = 0, refused = 0, done = 0, failed = 0, superseded = 0, cancelled = 0;
  for (const Device& device : devices_) {
    const Agent& agent = device.agent->agent();
    for (size_t i = 0; i < kDeviceTopics; ++i) sent[i] += device.agent->sent(static_cast<DeviceTopic>(i));
    dropped += agent.counters().refused_publications + agent.counters().dropped_updates;
    received += agent.gate().passed() + agent.gate().refused_total();
    refused += agent.gate().refused_total();
    done += agent.executor().done();
    failed += agent.executor().failed();
    superseded += agent.executor().superseded();
    cancelled += agent.executor().cancelled();
  }
  std::string by_topic;
  for (size_t i = 0; i < kDeviceTopics; ++i) {
    absl::StrAppend(&by_topic, i == 0 ? "" : ",", "\"", kNames[i], "\":", sent[i]);
  }
  return absl::StrFormat(
      R"({"devices":%d,"entities":%d,"seconds":%.3f,"sent":{%s},"dropped":%d,)"
      R"("commands":{"received":%d,"refused":%d,"done":%d,"failed":%d,"superseded":%d,"cancelled":%d}})",
      options_.devices, options_.entities, all_up_ ? absl::ToDoubleSeconds(stopped_at_ - running_since_) : 0.0,
      by_topic, dropped, received, refused, done, failed, superseded, cancelled);
}

}  // namespace fleet
