#include "tests/sim/world.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet {
namespace {

// Periods that lie on a grid let many agents share one moment, and those that do were made together: neighbours in
// memory, which is what the time of a great fleet goes to.
constexpr absl::Duration kPhaseStep = absl::Milliseconds(10);
constexpr size_t kPhases = 50;
constexpr int64_t kSpeedMmS = 1000;

DeviceId IdOf(size_t i) {
  return *DeviceId::Parse(absl::StrFormat("d%05d", i));
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options), random_(options.seed), broker_({.seed = options.seed, .faults = options.faults}) {
  device_wall_.resize(options.devices);
  scheduled_.resize(options.devices, MonoTime::Max());
  beat_truth_.resize(options.devices);
  std::array<int, kPhases> phases;
  std::iota(phases.begin(), phases.end(), 0);
  std::shuffle(phases.begin(), phases.end(), random_);
  for (size_t i = 0; i < options.devices; ++i) {
    devices_.push_back(std::make_unique<SimDevice>(
        SimDevice::Options{.id = IdOf(i),
                           .entities = options.entities,
                           .state_rate_hz = options.state_rate_hz,
                           .phase = kPhaseStep * phases[i * kPhases / options.devices]},
        [this, i](const device::SegmentOrder& order, MonoTime) { OnSegmentStart(i, order); }));
  }
  StartServer();
  for (size_t i = 0; i < options.devices; ++i) StartDevice(i);
}

World::~World() = default;

void World::StartServer() {
  server_ =
      std::make_unique<SimServer>(SimServer::Options{.fleet = options_.fleet, .store_delay = options_.store_delay},
                                  store_, static_cast<ServerObserver&>(*this), ServerNow());
  server_->Connect(broker_, [this](LinkEvent event) { server_->Handle(event, ServerNow()); });
}

void World::StopServer() {
  server_->Stop(ServerNow());
  server_.reset();
}

void World::StartDevice(size_t i) {
  beat_truth_[i] = {};
  devices_[i]->Start(
      broker_,
      [this, i](LinkEvent event) {
        ++messages_;
        if (const auto* arrived = std::get_if<Arrived>(&event)) OnBeat(i, *arrived);
        devices_[i]->Handle(std::move(event), DeviceNow(i));
        Schedule(i);
      },
      DeviceNow(i));
  Schedule(i);
}

// Time.

MonoTime World::NextDue() const {
  if (frozen_) return broker_.NextDue();
  const MonoTime due = std::min(broker_.NextDue(), calendar_.NextDue());
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
  frozen_ = true;
  RunFor(absl::Seconds(30));
  frozen_ = false;
}

void World::Step() {
  broker_.RunUntil(now_);
  if (frozen_) return;
  while (calendar_.NextDue() <= now_) TurnDevices();
  broker_.RunUntil(now_);
  if (server_ && server_->NextDue() <= now_) server_->Turn(ServerNow());
}

void World::TurnDevices() {
  const MonoTime page = calendar_.NextDue();
  calendar_.TakeFirst(due_devices_);
  for (uint32_t i : due_devices_) {
    if (scheduled_[i] != page || !devices_[i]->is_on()) continue;
    devices_[i]->Turn(DeviceNow(i));
    scheduled_[i] = devices_[i]->NextDue();
    calendar_.Add(scheduled_[i], i);
  }
}

void World::Schedule(size_t i) {
  const MonoTime due = devices_[i]->NextDue();
  if (due >= scheduled_[i] && scheduled_[i] > now_) return;
  scheduled_[i] = due;
  calendar_.Add(due, static_cast<uint32_t>(i));
}

// Commands.

std::optional<CommandId> World::Submit(size_t i, absl::Duration length, absl::Duration ttl, uint32_t entity) {
  if (!server_) return std::nullopt;
  v1::Segment segment;
  segment.set_entity_id(entity);
  segment.set_end_x_mm(static_cast<int32_t>(absl::ToDoubleSeconds(length) * kSpeedMmS));
  segment.set_start_speed_mm_s(kSpeedMmS);
  segment.set_end_speed_mm_s(kSpeedMmS);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  const auto id = server_->Submit(devices_[i]->id().view(), segment, ttl, ServerNow());
  if (!id.ok()) return std::nullopt;
  return *id;
}

void World::OnBeat(size_t i, const Arrived& arrived) {
  if (arrived.topic != kServerBeatTopic) return;
  ++beats_arrived_;
  if (!options_.keep_truth) return;
  v1::ServerBeat beat;
  FLEET_CHECK(beat.ParseFromString(arrived.payload));
  const absl::Duration delay = now_ - beats_sent_at_.at({beat.server_epoch(), beat.steady_unix_ms()});
  BeatTruth& truth = beat_truth_[i];
  if (truth.server_epoch != beat.server_epoch()) {
    truth = {.server_epoch = beat.server_epoch(), .since = now_, .best_delay = delay};
  }
  truth.best_delay = std::min(truth.best_delay, delay);
}

void World::OnSegmentStart(size_t i, const device::SegmentOrder& order) {
  if (!options_.keep_truth) return;
  CommandTruth& truth = command_truth_.at(order.command);
  ++truth.starts;
  FLEET_CHECK(truth.starts == 1) << "command " << Number(order.command) << " started twice";
  // Whole milliseconds on either side, and the millisecond a second by which clocks may drift apart.
  const BeatTruth& beats = beat_truth_[i];
  const absl::Duration blur = beats.best_delay + absl::Milliseconds(2) + (now_ - beats.since) / 1000;
  FLEET_CHECK(now_ <= truth.expires + blur) << "command " << Number(order.command) << " started too late";
}

// What the server sees and does.

void World::OnMessage(const Arrived& message, MonoTime now) {
  ++messages_;
  probes_arrived_ += message.topic == kServerProbeTopic;
  HashMessage(message.topic, message.payload, now);
}

void World::HashMessage(absl::string_view topic, absl::string_view payload, MonoTime now) {
  hash_.Add(static_cast<uint64_t>(now.nanos()));
  hash_.Add(topic);
  hash_.Add(payload);
}

void World::OnEvent(const server::Event& event, MonoTime now) {
  if (!options_.keep_truth) return;
  if (const auto* heartbeat = std::get_if<server::HeartbeatEvent>(&event)) {
    DeviceTruth& truth = truth_[std::string(heartbeat->device)];
    const bool is_new = truth.heartbeats.Arrive(heartbeat->heartbeat->epoch(), heartbeat->heartbeat->seq());
    if (is_new) truth.last_heartbeat = now;
  } else if (const auto* state = std::get_if<server::StateEvent>(&event)) {
    truth_[std::string(state->device)].states.Arrive(state->report->epoch(), state->report->seq());
  } else if (const auto* status = std::get_if<server::StatusEvent>(&event)) {
    if (status->status->presence() != v1::PRESENCE_ONLINE) return;
    DeviceTruth& truth = truth_[std::string(status->device)];
    truth.heartbeats.StartLife(status->status->epoch());
    truth.states.StartLife(status->status->epoch());
  }
}

void World::OnRows(const server::RowBatch& rows, MonoTime now) {
  for (const server::DeviceRow& row : rows.devices) {
    for (uint64_t word :
         {static_cast<uint64_t>(row.device_row), uint64_t{row.epoch}, row.heartbeats.expected, row.heartbeats.stored,
          row.states.expected, row.states.stored, row.states.seen, static_cast<uint64_t>(row.last_seen_unix_ms)}) {
      hash_.Add(word);
    }
    hash_.Add(row.block.samples);
  }
  for (const server::LivenessRow& row : rows.liveness) {
    hash_.Add(static_cast<uint64_t>(row.device_row));
    hash_.Add(server::Name(row.status.state));
    hash_.Add(server::Name(row.status.reason));
    hash_.Add(static_cast<uint64_t>(row.at_unix_ms));
    if (options_.keep_truth) CheckLiveness(row, now);
  }
  for (const server::CommandRow& row : rows.commands) {
    hash_.Add(Number(row.id));
    hash_.Add(row.segment.SerializeAsString());
    if (options_.keep_truth) command_truth_[row.id] = {.expires = now + absl::Milliseconds(row.ttl_ms)};
  }
  for (const server::CommandStepRow& step : rows.steps) {
    hash_.Add(Number(step.id));
    hash_.Add(static_cast<uint64_t>(step.state));
    hash_.Add(step.reason);
    hash_.Add(static_cast<uint64_t>(step.since_issue_ms));
  }
}

void World::CheckLiveness(const server::LivenessRow& row, MonoTime now) {
  liveness_[row.device_row].push_back(row.status.state);
  const server::Registry& registry = server_->state().registry();
  for (server::DeviceIndex index = 0; index < registry.size(); ++index) {
    if (registry.at(index).row != row.device_row) continue;
    const absl::Duration silence = now - truth_[registry.at(index).id.str()].last_heartbeat;
    if (row.status.state == server::LivenessState::kStale) {
      FLEET_CHECK(silence >= absl::Seconds(1)) << "stale after " << silence;
    } else if (row.status.reason == server::OfflineReason::kSilent) {
      FLEET_CHECK(silence >= absl::Seconds(2)) << "silent after " << silence;
    } else if (row.status.state == server::LivenessState::kOnline) {
      FLEET_CHECK(silence == absl::ZeroDuration()) << "online without a heartbeat for " << silence;
    }
  }
}

void World::OnPublish(const Publication& publication, MonoTime now) {
  if (publication.topic == kServerBeatTopic) {
    ++beats_published_;
    v1::ServerBeat beat;
    FLEET_CHECK(beat.ParseFromString(publication.payload));
    if (options_.keep_truth) beats_sent_at_[{beat.server_epoch(), beat.steady_unix_ms()}] = now;
  }
  probes_published_ += publication.topic == kServerProbeTopic;
  HashMessage(publication.topic, publication.payload, now);
}

const server::Device& World::Seen(size_t i) const {
  const server::Device* device = server_->state().registry().Find(devices_[i]->id().view());
  FLEET_CHECK(device != nullptr) << "the server does not know " << devices_[i]->id().view();
  return *device;
}

server::LivenessStatus World::Status(size_t i) const {
  return server_->state().liveness().status(Seen(i).index);
}

std::vector<server::LivenessState> World::TakeLiveness(size_t i) {
  return std::exchange(liveness_[Seen(i).row], {});
}

}  // namespace fleet
