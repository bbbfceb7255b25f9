#include "device/agent.h"

#include <algorithm>
#include <iterator>

#include "common/codec.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {
namespace {

std::vector<EntityId> IdsOf(const std::vector<DrivenEntity>& entities) {
  std::vector<EntityId> ids;
  for (const DrivenEntity& entity : entities) ids.push_back(entity.id);
  return ids;
}

}  // namespace

absl::Duration PeriodOf(double rate_hz) {
  return rate_hz > 0 ? absl::Seconds(1 / rate_hz) : absl::ZeroDuration();
}

Agent::Agent(AgentOptions options, Now now)
    : device_(options.device),
      status_topic_(TopicOf(device_, DeviceTopic::kStatus)),
      ack_topic_(TopicOf(device_, DeviceTopic::kCommandAck)),
      segment_topic_(SegmentTopic(device_)),
      heartbeat_(device_, options.epoch, {now.mono + options.phase, options.heartbeat_period}),
      gate_({.key = options.command_key, .entities = IdsOf(options.entities), .started = now.mono}),
      executor_(std::move(options.entities)),
      reporter_(device_, options.epoch, {now.mono + options.phase, options.state_period}) {
  status_.set_epoch(options.epoch);
  status_.set_started_unix_ms(std::max<int64_t>(options.started_unix_ms, 0));
  status_.set_version(options.version);
  for (const DrivenEntity& entity : executor_.entities()) status_.add_entity_ids(Number(entity.id));
}

std::vector<Subscription> Agent::Subscriptions() const {
  return {{.filter = segment_topic_, .qos = 1}, {.filter = kServerBeatTopic, .qos = 0}};
}

uint64_t Agent::made(DeviceTopic topic) const {
  switch (topic) {
    case DeviceTopic::kHeartbeat:
      return heartbeat_.sent();
    case DeviceTopic::kState:
      return reporter_.sent();
    case DeviceTopic::kStatus:
      return counters_.statuses;
    case DeviceTopic::kCommandAck:
      return counters_.command_reports;
  }
  return 0;
}

void Agent::Handle(const Input& input, Now now, Effects& effects) {
  std::visit([&](const auto& in) { On(in, now, effects); }, input);
  Keep(updates_);
  // What was refused just now would only be refused again: it waits for the next turn.
  if (!std::holds_alternative<PublishRefused>(input)) ReportUpdates(effects);
}

void Agent::TakeTurn(Now now, Effects& effects) {
  executor_.Tick(now.mono, updates_, effects);
  Keep(updates_);
  ReportUpdates(effects);
  if (!link_up_) return;
  heartbeat_.Tick(now, effects);
  reporter_.Tick(executor_.entities(), now, effects);
}

void Agent::On(const LinkUp&, Now now, Effects& effects) {
  link_up_ = true;
  ++counters_.statuses;
  effects.publish.push_back(MakeStatus(v1::PRESENCE_ONLINE));
  heartbeat_.Resume(now, effects);
  reporter_.Resume(now.mono);
}

void Agent::On(const LinkDown&, Now, Effects&) {
  if (link_up_) ++counters_.link_losses;
  link_up_ = false;
}

void Agent::On(const Arrived& arrived, Now now, Effects& effects) {
  if (arrived.topic == segment_topic_) {
    if (const auto order = gate_.Judge(arrived.payload, server_time_, now.mono, updates_)) {
      executor_.Start(*order, now.mono, updates_, effects);
    }
  } else if (arrived.topic == kServerBeatTopic) {
    HearBeat(arrived, now.mono);
  } else {
    ++counters_.unknown_topics;
  }
}

void Agent::On(const PoseFed& fed, Now now, Effects&) {
  executor_.Feed(fed, now.mono);
}

void Agent::On(const SegmentEnded& ended, Now now, Effects& effects) {
  executor_.End(ended, now.mono, updates_, effects);
}

void Agent::On(const ControllersChanged& changed, Now now, Effects&) {
  executor_.SetListening(changed.listening, now.mono);
}

void Agent::On(const PublishRefused& refused, Now, Effects&) {
  ++counters_.refused_publications;
  if (refused.publication.topic != ack_topic_) return;  // live data; a status is said again on the next connect
  v1::CommandReport report;
  if (!report.ParseFromString(refused.publication.payload)) return;
  waiting_.insert(waiting_.begin(), report.updates().begin(), report.updates().end());
}

void Agent::HearBeat(const Arrived& arrived, MonoTime now) {
  v1::ServerBeat beat;
  // A beat that the broker kept is old, and how old nobody knows.
  if (arrived.retained || !Decode(arrived.payload, beat).ok()) {
    ++counters_.bad_beats;
    return;
  }
  server_time_.Hear(beat, now);
}

void Agent::Keep(std::vector<v1::CommandUpdate>& updates) {
  if (updates.empty()) return;
  waiting_.insert(waiting_.end(), std::make_move_iterator(updates.begin()), std::make_move_iterator(updates.end()));
  updates.clear();
  while (waiting_.size() > kMaxWaitingUpdates) {
    waiting_.pop_front();
    ++counters_.dropped_updates;
  }
}

void Agent::ReportUpdates(Effects& effects) {
  while (link_up_ && !waiting_.empty()) {
    v1::CommandReport report;
    report.set_epoch(status_.epoch());
    for (size_t i = 0; i < kMaxUpdatesPerReport && !waiting_.empty(); ++i) {
      *report.add_updates() = std::move(waiting_.front());
      waiting_.pop_front();
    }
    ++counters_.command_reports;
    effects.publish.push_back({.topic = ack_topic_, .payload = report.SerializeAsString(), .qos = 1});
  }
}

Publication Agent::MakeStatus(v1::Presence presence) const {
  v1::Status status = status_;
  status.set_presence(presence);
  return {.topic = status_topic_, .payload = status.SerializeAsString(), .qos = 1, .retain = true};
}

}  // namespace fleet::device
