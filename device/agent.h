// The device agent, without the world: what it hears goes in, what it wants done comes out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "common/mqtt_link.h"
#include "common/signing.h"
#include "common/topics.h"
#include "device/can/bus_plan.h"
#include "device/can/can_hub.h"
#include "device/command_desk.h"
#include "device/effects.h"
#include "device/entity_driver.h"
#include "device/entity_reporter.h"
#include "device/fail_safe.h"
#include "device/gateway_reporter.h"
#include "device/heartbeat.h"
#include "device/inputs.h"
#include "device/local_signals.h"
#include "device/modbus/modbus_hub.h"
#include "device/outbox.h"
#include "device/spool.h"
#include "device/summary_reporter.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

struct AgentOptions {
  DeviceId device;
  uint32_t epoch = 1;  // start counter, 1 or more
  int64_t started_unix_ms = 0;
  std::string version;
  absl::Duration heartbeat_period = absl::Milliseconds(500);
  absl::Duration state_period = absl::Milliseconds(100);  // zero: no state reports
  absl::Duration phase;                                   // shifts both, so that many agents do not speak at once
  absl::Duration gateway_period;                          // of gateway/*; zero: none, and no security/*
  absl::Duration summary_period;                          // zero: only when it is asked for
  std::optional<CommandKey> command_key;
  FailSafeOptions fail_safe;
  std::optional<SpoolContents> spool;  // absent: no spool, a restart forgets
  bool spool_missing = false;          // one is wanted and cannot be opened: no segment runs that would be forgotten
  std::vector<DrivenEntity> entities;  // at most 256, each id once
  CanPlan can;
  std::optional<ModbusPlan> modbus;  // absent: it does not even answer that it has no units
};

// 10 Hz -> 100 ms; 0 -> zero, none.
absl::Duration PeriodOf(double rate_hz);

// Says online on every connect, then a heartbeat every period and a state report every period while connected; judges,
// runs and answers commands, keeps the durable streams, and falls to its fail-safe when the server is silent
// (docs/protocol.md). Answers that find no link wait for the next one, at most kMaxWaitingUpdates of them; beyond that
// the oldest are dropped and counted: the server asks again. Bad bytes are counted and left behind.
//
// No threads, no clocks, no I/O: the owner calls Handle for every input, Tick at NextDue, and carries out the effects.
class Agent {
 public:
  static constexpr size_t kMaxWaitingUpdates = 1000;
  static constexpr size_t kMaxUpdatesPerReport = 100;  // and half of kMaxPayloadBytes
  static constexpr size_t kMaxEntities = 256;

  struct Counters {
    uint64_t statuses = 0;
    uint64_t command_reports = 0;
    uint64_t link_losses = 0;
    uint64_t refused_publications = 0;  // by the link
    uint64_t dropped_updates = 0;       // more than kMaxWaitingUpdates waited
    uint64_t bad_beats = 0;
    uint64_t bad_receipts = 0;
    uint64_t unknown_topics = 0;
  };

  Agent(AgentOptions options, Now now);

  void Handle(const Input& input, Now now, Effects& effects);
  void Tick(Now now, Effects& effects) {
    if (now.mono >= NextDue()) TakeTurn(now, effects);
  }
  MonoTime NextDue() const {
    const MonoTime due = std::min(work_due_, fail_safe_.NextDue());
    return link_up_ ? std::min({heartbeat_.NextDue(), reporter_.NextDue(), gateway_.NextDue(), summary_.NextDue(), due})
                    : due;
  }
  // Before a clean stop: what is only in memory goes to the spool.
  void Flush(Now now, Effects& effects);

  // What the link needs.
  Publication Will() const { return MakeStatus(v1::PRESENCE_LOST); }
  Publication Goodbye() const { return MakeStatus(v1::PRESENCE_OFFLINE); }
  std::vector<Subscription> Subscriptions() const;

  const DeviceId& device() const { return device_; }
  bool link_up() const { return link_up_; }
  // Publications made of this kind; those that the link refused are included.
  uint64_t made(DeviceTopic topic) const;
  const Counters& counters() const { return counters_; }
  const CommandGate& gate() const { return desk_.gate(); }
  const CommandMemory& memory() const { return desk_.memory(); }
  const SegmentExecutor& executor() const { return desk_.executor(); }
  const Outbox& outbox() const { return outbox_; }
  bool fail_safe() const { return fail_safe_.on(); }
  size_t waiting_updates() const { return waiting_.size(); }
  uint64_t messages() const { return messages_; }                  // published, those that the link refused included
  uint64_t published_fields() const { return published_fields_; }  // of programs on the device, and as they asked
  const LocalSignals& local_signals() const { return local_signals_; }
  const SummaryReporter& summary() const { return summary_; }
  SecurityCounts security_counts() const;
  const CanHub* can() const { return can_.get(); }           // null: no bus
  const ModbusHub* modbus() const { return modbus_.get(); }  // null: see AgentOptions

 private:
  void TakeTurn(Now now, Effects& effects);

  void On(const LinkUp&, Now now, Effects& effects);
  void On(const LinkDown&, Now now, Effects& effects);
  void On(const Arrived& arrived, Now now, Effects& effects);
  void On(const PoseFed& fed, Now now, Effects& effects);
  void On(const SegmentEnded& ended, Now now, Effects& effects);
  void On(const ControllersChanged& changed, Now now, Effects& effects);
  void On(const PublishRefused& refused, Now now, Effects& effects);
  void On(const SpoolDone& done, Now now, Effects& effects);
  void On(const CanHeard& heard, Now now, Effects& effects);
  void On(const ModbusDone& done, Now now, Effects& effects);
  void On(const SamplesTaken& taken, Now now, Effects& effects);
  void On(const EventTold& told, Now now, Effects& effects);
  void On(const PublishRequest& request, Now now, Effects& effects);
  void On(const ValuesAsked&, Now now, Effects& effects);

  // True when something follows from it.
  bool HearBeat(const Arrived& arrived, Now now);
  void HearReceipt(const Arrived& arrived, Now now);
  void CheckFailSafe(Now now, Effects& effects);
  void Tell(v1::EventKind kind, std::string detail, Now now);
  void Work(Now now, Effects& effects);
  void TendOutbox(Now now, Effects& effects);
  void FindWorkDue() {
    work_due_ = std::min(desk_.NextDue(), outbox_.NextDue());
    if (can_) work_due_ = std::min(work_due_, can_->NextDue());
    if (modbus_) work_due_ = std::min(work_due_, modbus_->NextDue());
  }
  std::vector<CurrentSignal> CurrentSignals() const;
  // What the buses lead to, all but what is for themselves.
  void TakeBuses(Now now, Effects& effects);
  void SettleUpdates(MonoTime now, Effects& effects);
  void ReportUpdates(Effects& effects);
  void SayStatus(Effects& effects);
  void SayTexts(Effects& effects);
  void CountStreams(const Effects& effects, size_t from);
  Publication MakeStatus(v1::Presence presence) const;

  // What a heartbeat and a beat touch comes first: where one process has thousands of agents, time goes to cache lines.
  bool link_up_ = false;
  bool status_is_due_ = false;  // it changed, or the link did not take it
  bool was_refused_ = false;    // the next turn says again what the link did not take
  bool texts_are_due_ = false;  // the plain texts among it
  MonoTime work_due_;           // of desk_, outbox_ and buses: changes only when something happens to them
  FailSafe fail_safe_;
  Heartbeat heartbeat_;
  EntityReporter reporter_;
  GatewayReporter gateway_;
  SummaryReporter summary_;
  uint64_t messages_ = 0;                   // published, those that the link refused included
  std::vector<v1::CommandUpdate> updates_;  // of this turn
  const std::unique_ptr<CanHub> can_;       // null: no bus
  const std::unique_ptr<ModbusHub> modbus_;
  CommandDesk desk_;
  Outbox outbox_;

  LocalSignals local_signals_;
  uint64_t published_fields_ = 0;

  const DeviceId device_;
  const std::string status_topic_;
  const std::string ack_topic_;
  const std::string segment_topic_;
  const std::string cancel_topic_;
  const std::string receipt_topic_;
  const std::string can_topic_;                 // what the topics of commands for buses begin with
  const std::string modbus_topic_;              // of commands for Modbus units
  v1::Status status_;                           // all but the presence
  std::deque<v1::CommandUpdate> waiting_;       // for a link that takes them, oldest first
  std::array<uint64_t, kDeviceTopics> made_{};  // of the durable streams
  Counters counters_;
};

}  // namespace fleet::device
