#include "tests/sim/world.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "tests/sim/token.h"

namespace fleet {
namespace {

// Periods that lie on a grid let many agents share one moment, and those that do were made together: neighbours in
// memory, which is what the time of a great fleet goes to.
constexpr absl::Duration kPhaseStep = absl::Milliseconds(10);
constexpr size_t kPhases = 50;
constexpr int64_t kSpeedMmS = 1000;
constexpr absl::Duration kCancelTtl = absl::Seconds(5);

DeviceId IdOf(size_t i) {
  return *DeviceId::Parse(absl::StrFormat("d%05d", i));
}

void Stop(const std::string& complaint) {
  FLEET_CHECK(false) << complaint;
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      random_(options.seed),
      broker_({.seed = options.seed, .faults = options.faults}),
      store_(options.store),
      referee_({.devices = devices_, .server = server_, .store = store_}, options.fail_safe,
               [this, complain = options.complain ? options.complain : Stop](const std::string& complaint) {
                 const double seconds = static_cast<double>(now_.millis()) / 1000;
                 complain(absl::StrFormat("at %.3f s: %s", seconds, complaint));
               }) {
  device_wall_.resize(options.devices);
  scheduled_.resize(options.devices, MonoTime::Max());
  std::array<int, kPhases> phases;
  std::iota(phases.begin(), phases.end(), 0);
  std::shuffle(phases.begin(), phases.end(), random_);
  device::FailSafeOptions fail_safe = options.fail_safe;
  fail_safe.after = options.wrong_fail_safe_after.value_or(fail_safe.after);
  for (size_t i = 0; i < options.devices; ++i) {
    const bool is_clone = options.has_clone && i + 1 == options.devices;
    devices_.push_back(
        std::make_unique<SimDevice>(SimDevice::Options{.number = i,
                                                       .id = IdOf(is_clone ? 0 : i),
                                                       .entities = options.entities,
                                                       .state_rate_hz = options.state_rate_hz,
                                                       .phase = kPhaseStep * phases[i * kPhases / options.devices],
                                                       .fail_safe = fail_safe,
                                                       .disk = options.disk},
                                    static_cast<DeviceObserver&>(*this)));
  }
  StartServer();
  for (size_t i = 0; i < options.devices; ++i) StartDevice(i);
}

World::~World() = default;

// Programs start and end.

void World::StartServer() {
  server_ =
      std::make_unique<SimServer>(SimServer::Options{.fleet = options_.fleet, .store_delay = options_.store_delay},
                                  store_, static_cast<ServerObserver&>(*this), ServerNow());
  server_->Connect(broker_, [this](LinkEvent event) { server_->Handle(event, ServerNow()); });
}

void World::KillServer() {
  cut_at_.erase(kServerClientId);
  server_.reset();
}

void World::KillDevice(size_t i) {
  cut_at_.erase(devices_[i]->id().str());
  devices_[i]->Kill();
}

void World::StopServer() {
  server_->Stop(ServerNow());
  server_.reset();
}

void World::StartDevice(size_t i) {
  if (options_.keep_truth) referee_.OnStart(i, now_);
  devices_[i]->Start(
      broker_,
      [this, i](LinkEvent event) {
        recorder_.ArrivedAtDevice();
        devices_[i]->Handle(std::move(event), DeviceNow(i));
        Schedule(i);
      },
      DeviceNow(i));
  Schedule(i);
}

void World::StopDevice(size_t i) {
  referee_.OnStop(i);
  devices_[i]->Stop(DeviceNow(i));
}

void World::GuardKeepalive(const std::string& client_id) {
  cut_at_[client_id] = now_ + LinkOptions().keepalive * 1.5;
}

void World::FreezeServer() {
  server_->Freeze();
  GuardKeepalive(kServerClientId);
}

void World::ThawServer() {
  cut_at_.erase(kServerClientId);
  server_->Thaw(ServerNow());
}

void World::FreezeDevice(size_t i) {
  devices_[i]->Freeze();
  GuardKeepalive(devices_[i]->id().str());
}

void World::ThawDevice(size_t i) {
  cut_at_.erase(devices_[i]->id().str());
  devices_[i]->Thaw(DeviceNow(i));
  Schedule(i);
}

void World::CutSilentLinks() {
  for (auto& [client_id, at] : cut_at_) {
    if (at > now_) continue;
    at = MonoTime::Max();
    broker_.Kill(client_id);
  }
}

// Time.

MonoTime World::NextDue() const {
  if (still_) return broker_.NextDue();
  MonoTime due = std::min(broker_.NextDue(), calendar_.NextDue());
  for (const auto& [client_id, at] : cut_at_) due = std::min(due, at);
  return server_ ? std::min(due, server_->NextDue()) : due;
}

void World::AdvanceTo(MonoTime now) {
  if (now <= now_) return;
  wall_ += now - now_;
  now_ = now;
}

void World::RunFor(absl::Duration d) {
  const MonoTime end = now_ + d;
  for (MonoTime due = NextDue(); due <= end; due = NextDue()) {
    AdvanceTo(due);
    Step();
  }
  AdvanceTo(end);
  broker_.RunUntil(now_);
}

void World::Drain() {
  still_ = true;
  RunFor(absl::Seconds(30));
  still_ = false;
}

void World::Step() {
  broker_.RunUntil(now_);
  if (still_) return;
  CutSilentLinks();
  while (calendar_.NextDue() <= now_) TurnDevices();
  broker_.RunUntil(now_);
  if (server_ && server_->NextDue() <= now_) server_->Turn(ServerNow());
}

void World::TurnDevices() {
  const MonoTime page = calendar_.NextDue();
  calendar_.TakeFirst(due_devices_);
  for (uint32_t i : due_devices_) {
    SimDevice& device = *devices_[i];
    if (scheduled_[i] != page || !device.is_on() || device.is_frozen()) continue;
    device.Turn(DeviceNow(i));
    scheduled_[i] = device.NextDue();
    calendar_.Add(scheduled_[i], i);
  }
}

void World::Schedule(size_t i) {
  const MonoTime due = devices_[i]->NextDue();
  if (due >= scheduled_[i] && scheduled_[i] > now_) return;
  scheduled_[i] = due;
  calendar_.Add(due, static_cast<uint32_t>(i));
}

// What operators and programs on devices ask.

std::optional<CommandId> World::Submit(size_t i, const SegmentAsk& ask) {
  if (!server_listens()) return std::nullopt;
  v1::Segment segment;
  segment.set_entity_id(ask.entity);
  segment.set_end_x_mm(static_cast<int32_t>(absl::ToDoubleSeconds(ask.length) * kSpeedMmS));
  segment.set_start_speed_mm_s(kSpeedMmS);
  segment.set_end_speed_mm_s(kSpeedMmS);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  segment.set_mode(ask.append ? v1::SEGMENT_MODE_APPEND : v1::SEGMENT_MODE_UNSPECIFIED);
  const auto id = server_->Operate(now_, [&](server::FleetState& state, server::Changes& changes) {
    return state.Submit(devices_[i]->id().view(), segment, {.ttl = ask.ttl, .queue = ask.queue}, ServerNow(), changes);
  });
  if (!id.ok()) return std::nullopt;
  return *id;
}

bool World::Cancel(CommandId id) {
  return server_listens() && server_->Operate(now_, [&](server::FleetState& state, server::Changes& changes) {
    return state.CancelCommand(id, kCancelTtl, ServerNow(), changes).ok();
  });
}

bool World::Cancel(size_t i, const v1::Cancel& cancel) {
  return server_listens() && server_->Operate(now_, [&](server::FleetState& state, server::Changes& changes) {
    return state.CancelOn(devices_[i]->id().view(), cancel, kCancelTtl, ServerNow(), changes).ok();
  });
}

bool World::StopAll() {
  return server_listens() && server_->Operate(now_, [&](server::FleetState& state, server::Changes& changes) {
    return !state.StopAll(kCancelTtl, ServerNow(), changes).empty();
  });
}

bool World::Reconcile(CommandId id) {
  return server_listens() && server_->Operate(now_, [&](server::FleetState& state, server::Changes&) {
    return state.Reconcile(id, ServerNow()).ok();
  });
}

void World::TellEvent(size_t i) {
  devices_[i]->Tell(device::EventTold{EventOf(told_by_.size())}, DeviceNow(i));
  told_by_.push_back(i);
  Schedule(i);
}

void World::TellSample(size_t i) {
  devices_[i]->Tell(device::SamplesTaken{{SampleOf(told_by_.size())}}, DeviceNow(i));
  told_by_.push_back(i);
  Schedule(i);
}

// What is seen.

void World::OnMessage(const Arrived& message, MonoTime now) {
  recorder_.ArrivedAtServer(message, now);
}

void World::OnEvent(const server::Event& event, MonoTime now) {
  if (options_.keep_truth) referee_.OnEvent(event, now);
}

void World::OnRows(const server::RowBatch& rows, MonoTime now) {
  recorder_.Rows(rows);
  if (options_.keep_truth) referee_.OnRows(rows, now);
}

void World::OnPublish(const Publication& publication, MonoTime now) {
  recorder_.Published(publication, now);
  if (options_.keep_truth) referee_.OnPublish(publication, now);
}

void World::OnArrived(size_t device, const Arrived& message, MonoTime now) {
  if (message.topic == kServerBeatTopic) recorder_.BeatArrived();
  if (!options_.keep_truth) return;
  const DeviceId& id = devices_[device]->id();
  if (message.topic == kServerBeatTopic) {
    referee_.OnBeat(device, message, now);
  } else if (message.topic == ReceiptTopic(id)) {
    referee_.OnReceipt(device, message);
  } else if (message.topic == SegmentTopic(id)) {
    referee_.OnSegment(device, message, now);
  }
}

void World::OnSegmentStart(size_t device, const device::SegmentOrder& order, MonoTime now) {
  if (options_.keep_truth) referee_.OnSegmentStart(device, order, now);
}

void World::OnTurn(size_t device, MonoTime now) {
  if (options_.keep_truth) referee_.OnTurn(device, now);
}

const server::Device& World::Seen(size_t i) const {
  const server::Device* device = server_->state().registry().Find(devices_[i]->id().view());
  FLEET_CHECK(device != nullptr) << "the server does not know " << devices_[i]->id().view();
  return *device;
}

server::LivenessStatus World::Status(size_t i) const {
  return server_->state().liveness().status(Seen(i).index);
}

}  // namespace fleet
