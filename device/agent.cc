#include "device/agent.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/codec.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {
namespace {

const SpoolContents* ContentsOf(const AgentOptions& options) {
  return options.spool ? &*options.spool : nullptr;
}

std::unique_ptr<CanHub> MakeCanHub(const AgentOptions& options, Now now) {
  if (options.can.buses.empty()) return nullptr;
  return std::make_unique<CanHub>(options.device, options.epoch, options.can, now.mono);
}

std::unique_ptr<ModbusHub> MakeModbusHub(const AgentOptions& options, Now now) {
  if (!options.modbus) return nullptr;
  return std::make_unique<ModbusHub>(ModbusHubOptions{.device = options.device,
                                                      .version = options.version,
                                                      .needs_signature = options.command_key.has_value(),
                                                      .plan = *options.modbus},
                                     now.mono);
}

// Moves what came of a bus to where it belongs, whichever kind of bus it was.
template <typename Part>
void MoveAll(std::vector<Part>& from, std::vector<Part>& to) {
  std::ranges::move(from, std::back_inserter(to));
  from.clear();
}

std::string Millis(absl::Duration silent) {
  return absl::StrCat(absl::ToInt64Milliseconds(silent));
}

}  // namespace

absl::Duration PeriodOf(double rate_hz) {
  return rate_hz > 0 ? absl::Seconds(1 / rate_hz) : absl::ZeroDuration();
}

Agent::Agent(AgentOptions options, Now now)
    : fail_safe_(options.fail_safe.after, now.mono),
      heartbeat_(options.device, options.epoch, {now.mono + options.phase, options.heartbeat_period}),
      reporter_(options.device, options.epoch, {now.mono + options.phase, options.state_period}),
      gateway_(options.device, {now.mono + options.phase + options.gateway_period, options.gateway_period}, now.mono),
      summary_(options.device, {now.mono + options.phase + options.summary_period, options.summary_period}, now.mono),
      can_(MakeCanHub(options, now)),
      modbus_(MakeModbusHub(options, now)),
      desk_({.key = options.command_key,
             .entities = std::move(options.entities),
             .fail_safe = options.fail_safe,
             .disk_missing = options.spool_missing,
             .can = can_.get(),
             .modbus = modbus_.get()},
            ContentsOf(options), updates_),
      outbox_(options.device, options.epoch, ContentsOf(options), now),
      local_signals_(options.device),
      device_(options.device),
      status_topic_(TopicOf(device_, DeviceTopic::kStatus)),
      ack_topic_(TopicOf(device_, DeviceTopic::kCommandAck)),
      segment_topic_(SegmentTopic(device_)),
      cancel_topic_(CancelTopic(device_)),
      receipt_topic_(ReceiptTopic(device_)),
      can_topic_(absl::StrCat("server/", device_.view(), "/can/")),
      modbus_topic_(ModbusCommandTopic(device_)) {
  status_.set_epoch(options.epoch);
  status_.set_started_unix_ms(std::max<int64_t>(options.started_unix_ms, 0));
  status_.set_version(options.version);
  for (const DrivenEntity& entity : executor().entities()) status_.add_entity_ids(Number(entity.id));
  Tell(v1::EVENT_KIND_STARTED, options.version, now);
}

std::vector<Subscription> Agent::Subscriptions() const {
  std::vector<Subscription> subscriptions = {{.filter = segment_topic_, .qos = 1},
                                             {.filter = cancel_topic_, .qos = 1},
                                             {.filter = CanTxTopic(device_, "+"), .qos = 1},  // to refuse it, too
                                             {.filter = modbus_topic_, .qos = 1},             // likewise
                                             {.filter = receipt_topic_, .qos = 1},
                                             {.filter = kServerBeatTopic, .qos = 0}};
  if (can_) std::ranges::move(can_->Subscriptions(), std::back_inserter(subscriptions));
  if (modbus_) std::ranges::move(modbus_->Subscriptions(), std::back_inserter(subscriptions));
  return subscriptions;
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
    case DeviceTopic::kEvent:
    case DeviceTopic::kTelemetry:
    case DeviceTopic::kLedger:
      return made_[static_cast<size_t>(topic)];
  }
  return 0;
}

void Agent::Handle(const Input& input, Now now, Effects& effects) {
  const size_t published = effects.publish.size();
  const auto* arrived = std::get_if<Arrived>(&input);
  if (arrived != nullptr && arrived->topic == kServerBeatTopic) {
    if (!HearBeat(*arrived, now) && !was_refused_) return;
  } else {
    std::visit([&](const auto& in) { On(in, now, effects); }, input);
  }
  TakeBuses(now, effects);
  SettleUpdates(now.mono, effects);
  // What was refused just now would only be refused again: it waits for the next turn.
  was_refused_ = std::holds_alternative<PublishRefused>(input);
  if (!was_refused_) ReportUpdates(effects);
  if (!was_refused_ && status_is_due_ && link_up_) SayStatus(effects);
  FindWorkDue();
  messages_ += effects.publish.size() - published;
}

void Agent::TakeTurn(Now now, Effects& effects) {
  const size_t published = effects.publish.size();
  const bool works = was_refused_ || texts_are_due_ || now.mono >= std::min(work_due_, fail_safe_.NextDue());
  if (works) Work(now, effects);
  if (link_up_) {
    heartbeat_.Tick(now, effects);
    reporter_.Tick(executor().entities(), now, effects);
    if (now.mono >= gateway_.NextDue()) gateway_.Tick(now.mono, messages_, security_counts(), effects);
    if (summary_.Take(now.mono)) effects.publish.push_back(summary_.Make(CurrentSignals(), now));
  }
  if (works) TendOutbox(now, effects);
  messages_ += effects.publish.size() - published;
}

// All but the live reports.
void Agent::Work(Now now, Effects& effects) {
  was_refused_ = false;
  if (std::exchange(texts_are_due_, false)) SayTexts(effects);
  desk_.Tick(now.mono, updates_, effects);
  CheckFailSafe(now, effects);
  if (can_) can_->Tick(now, effects.can);
  if (modbus_) modbus_->Tick(now, effects.modbus);
  TakeBuses(now, effects);
  SettleUpdates(now.mono, effects);
  ReportUpdates(effects);
  if (status_is_due_ && link_up_) SayStatus(effects);
}

void Agent::TendOutbox(Now now, Effects& effects) {
  if (now.mono >= outbox_.NextDue()) {
    const size_t from = effects.publish.size();
    outbox_.Tick(now, effects);
    CountStreams(effects, from);
  }
  FindWorkDue();
}

void Agent::TakeBuses(Now now, Effects& effects) {
  const auto take = [&](auto& from) {
    MoveAll(from.updates, updates_);
    for (v1::Event& event : from.events) outbox_.Add(std::move(event), now);
    for (Sample& sample : from.samples) outbox_.Add(std::move(sample), now);
    if (link_up_) MoveAll(from.publish, effects.publish);
    from.events.clear();
    from.samples.clear();
    from.publish.clear();
  };
  if (can_) take(effects.can);
  if (!modbus_) return;
  take(effects.modbus);
  MoveAll(effects.modbus.responses, effects.publish);
}

SecurityCounts Agent::security_counts() const {
  return {.auth_failures = gate().refused(Refusal::kBadSignature),
          .timestamp_drift = gate().refused(Refusal::kExpired) + gate().refused(Refusal::kClockUnknown) +
                             gate().refused(Refusal::kMemoryLost),
          .policy_violations = (can_ ? can_->policy_violations() : 0) + (modbus_ ? modbus_->policy_violations() : 0)};
}

void Agent::Flush(Now now, Effects& effects) {
  if (link_up_) gateway_.Goodbye(effects);
  if (can_) can_->Stop(effects.can);
  if (modbus_) modbus_->Stop(now, effects.modbus);
  if (modbus_ && link_up_) modbus_->Resume(effects.modbus);
  TakeBuses(now, effects);
  const size_t from = effects.publish.size();
  outbox_.Flush(now, effects);
  CountStreams(effects, from);
  SettleUpdates(now.mono, effects);
  FindWorkDue();
}

void Agent::On(const LinkUp&, Now now, Effects& effects) {
  link_up_ = true;
  if (can_) can_->SetLinkUp(true);
  if (modbus_) modbus_->SetLinkUp(true);
  SayStatus(effects);
  heartbeat_.Resume(now, effects);
  reporter_.Resume(now.mono);
  outbox_.LinkUp(now);
  SayTexts(effects);
}

void Agent::On(const LinkDown&, Now now, Effects&) {
  if (link_up_) ++counters_.link_losses;
  link_up_ = false;
  if (can_) can_->SetLinkUp(false);
  if (modbus_) modbus_->SetLinkUp(false);
  outbox_.LinkDown(now);
}

void Agent::On(const Arrived& arrived, Now now, Effects& effects) {
  if (arrived.topic == segment_topic_ || arrived.topic == cancel_topic_ || arrived.topic == modbus_topic_ ||
      absl::StartsWith(arrived.topic, can_topic_)) {
    if (std::optional<v1::Event> event = desk_.Judge(arrived.payload, now, updates_, effects)) {
      outbox_.Add(*std::move(event), now);
    }
  } else if (arrived.topic == receipt_topic_) {
    HearReceipt(arrived, now);
  } else if (can_ && can_->Owns(arrived.topic)) {
    can_->Arrive(arrived, now, effects.can);
  } else if (modbus_ && modbus_->Owns(arrived.topic)) {
    modbus_->Arrive(arrived, now, effects.modbus);
  } else {
    ++counters_.unknown_topics;
  }
}

void Agent::On(const PoseFed& fed, Now now, Effects&) {
  desk_.Feed(fed, now.mono);
}

void Agent::On(const SegmentEnded& ended, Now now, Effects& effects) {
  desk_.End(ended, now.mono, updates_, effects);
}

void Agent::On(const ControllersChanged& changed, Now now, Effects&) {
  desk_.SetListening(changed.listening, now.mono);
}

void Agent::On(const PublishRefused& refused, Now now, Effects&) {
  ++counters_.refused_publications;
  const std::string& topic = refused.publication.topic;
  if (topic == status_topic_) {
    status_is_due_ = true;
  } else if (topic == ack_topic_) {
    v1::CommandReport report;
    if (!report.ParseFromString(refused.publication.payload)) return;
    waiting_.insert(waiting_.begin(), report.updates().begin(), report.updates().end());
  } else if (modbus_ && modbus_->IsResponse(topic)) {
    modbus_->Refuse(refused.publication);
    texts_are_due_ = true;
  } else if (refused.publication.qos > 0) {
    outbox_.Refused(refused.publication, now);
    texts_are_due_ = texts_are_due_ || !ParseDeviceTopic(topic);
  }
}

void Agent::On(const SpoolDone& done, Now now, Effects& effects) {
  desk_.Done(done, now, updates_, effects);
  const size_t from = effects.publish.size();
  outbox_.Done(done, now);
  CountStreams(effects, from);
}

void Agent::On(const CanHeard& heard, Now now, Effects& effects) {
  if (can_) can_->Hear(heard.bus, *heard.news, now, effects.can);
}

void Agent::On(const ModbusDone& done, Now now, Effects& effects) {
  if (modbus_) modbus_->Hear(done, now, effects.modbus);
}

void Agent::On(const SamplesTaken& taken, Now now, Effects&) {
  for (const Sample& sample : taken.samples) outbox_.Add(sample, now);
}

void Agent::On(const EventTold& told, Now now, Effects&) {
  outbox_.Add(told.event, now);
}

void Agent::On(const PublishRequest& request, Now now, Effects& effects) {
  SignalEffects came;
  local_signals_.Publish(request, now.mono, came);
  published_fields_ += request.fields.size();
  for (Sample& sample : came.samples) outbox_.Add(std::move(sample), now);
  if (link_up_) MoveAll(came.publish, effects.publish);
}

void Agent::On(const ValuesAsked&, Now now, Effects& effects) {
  if (!link_up_) return;
  const std::vector<CurrentSignal> signals = CurrentSignals();
  for (const CurrentSignal& signal : signals) {
    effects.publish.push_back({.topic = SignalTopic(device_, signal.name), .payload = signal.text});
  }
  published_fields_ += signals.size();
  effects.publish.push_back(summary_.Make(signals, now));
}

std::vector<CurrentSignal> Agent::CurrentSignals() const {
  std::vector<CurrentSignal> signals;
  if (can_) can_->AppendCurrent(signals);
  if (modbus_) modbus_->signals().AppendCurrent(signals);
  local_signals_.AppendCurrent(signals);
  return signals;
}

bool Agent::HearBeat(const Arrived& arrived, Now now) {
  v1::ServerBeat beat;
  // A beat that the broker kept is old, and how old nobody knows.
  if (arrived.retained || !Decode(arrived.payload, beat).ok() || !desk_.Hear(beat, now.mono)) {
    ++counters_.bad_beats;
    return false;
  }
  const std::optional<absl::Duration> silent = fail_safe_.Hear(now.mono);
  if (!silent) return memory().NextDue() <= now.mono;
  Tell(v1::EVENT_KIND_FAIL_SAFE_OFF, Millis(*silent), now);
  status_is_due_ = true;
  return true;
}

void Agent::HearReceipt(const Arrived& arrived, Now now) {
  v1::Receipt receipt;
  if (!Decode(arrived.payload, receipt).ok()) {
    ++counters_.bad_receipts;
    return;
  }
  outbox_.Hear(receipt, now);
}

void Agent::CheckFailSafe(Now now, Effects& effects) {
  const std::optional<absl::Duration> silent = fail_safe_.Tick(now.mono);
  if (!silent) return;
  desk_.EnterFailSafe(now.mono, updates_, effects);
  Tell(v1::EVENT_KIND_FAIL_SAFE_ON, Millis(*silent), now);
  status_is_due_ = true;
}

void Agent::Tell(v1::EventKind kind, std::string detail, Now now) {
  v1::Event event;
  event.set_kind(kind);
  event.set_detail(std::move(detail));
  outbox_.Add(std::move(event), now);
}

void Agent::SettleUpdates(MonoTime now, Effects& effects) {
  desk_.Settle(updates_, now, effects.spool);
  if (updates_.empty()) return;
  waiting_.insert(waiting_.end(), std::make_move_iterator(updates_.begin()), std::make_move_iterator(updates_.end()));
  updates_.clear();
  while (waiting_.size() > kMaxWaitingUpdates) {
    waiting_.pop_front();
    ++counters_.dropped_updates;
  }
}

void Agent::ReportUpdates(Effects& effects) {
  while (link_up_ && !waiting_.empty()) {
    v1::CommandReport report;
    report.set_epoch(status_.epoch());
    size_t bytes = 0;
    for (size_t i = 0; i < kMaxUpdatesPerReport && bytes < kMaxPayloadBytes / 2 && !waiting_.empty(); ++i) {
      bytes += waiting_.front().ByteSizeLong();
      *report.add_updates() = std::move(waiting_.front());
      waiting_.pop_front();
    }
    ++counters_.command_reports;
    effects.publish.push_back({.topic = ack_topic_, .payload = report.SerializeAsString(), .qos = 1});
  }
}

void Agent::SayStatus(Effects& effects) {
  status_is_due_ = false;
  ++counters_.statuses;
  effects.publish.push_back(MakeStatus(v1::PRESENCE_ONLINE));
}

// Plain texts that may be long without another.
void Agent::SayTexts(Effects& effects) {
  if (!link_up_) return;
  gateway_.LinkUp(security_counts(), effects);
  if (can_) can_->Resume(effects.can);
  if (modbus_) modbus_->Resume(effects.modbus);
}

void Agent::CountStreams(const Effects& effects, size_t from) {
  for (size_t i = from; i < effects.publish.size(); ++i) {
    if (const auto topic = ParseDeviceTopic(effects.publish[i].topic)) ++made_[static_cast<size_t>(topic->topic)];
  }
}

Publication Agent::MakeStatus(v1::Presence presence) const {
  v1::Status status = status_;
  status.set_presence(presence);
  status.set_fail_safe(fail_safe_.on() && presence == v1::PRESENCE_ONLINE);
  return {.topic = status_topic_, .payload = status.SerializeAsString(), .qos = 1, .retain = true};
}

}  // namespace fleet::device
