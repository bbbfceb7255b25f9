// All that this device makes of its Modbus units.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/modbus/modbus_json.h"
#include "common/mqtt_link.h"
#include "device/modbus/modbus_command.h"
#include "device/modbus/modbus_effects.h"
#include "device/modbus/modbus_line.h"
#include "device/modbus/modbus_plan.h"
#include "device/modbus/modbus_poller.h"
#include "device/modbus/modbus_task.h"
#include "device/modbus/recent_writes.h"
#include "device/modbus/unit_health.h"
#include "device/modbus/write_guard.h"
#include "device/signals/signal_book.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {

struct ModbusHubOptions {
  DeviceId device;
  std::string version;   // of the agent, for gateway_state
  bool needs_signature;  // there is a command key: plain JSON may read, and write nothing
  ModbusPlan plan;
};

// Requests, commands and polls become tasks; each bus does one task after the other.
//
//   JSON, command --> WriteGuard --> ModbusLine --job--> bus --reply--> answer, steps of the command, event
//   ModbusPoller ---- UnitHealth ----^                            '---> SignalBook --> plain text, samples
//
// Every request is answered, at the latest when its time to live is over. Loop thread only, pure. Bounds: those of the
// line, one task for each block of the plan, kMaxKeptResponses while the link is down.
class ModbusHub {
 public:
  static constexpr size_t kMaxKeptResponses = 256;
  static constexpr absl::Duration kDefaultTtl = absl::Seconds(10);  // of a plain request
  static constexpr absl::Duration kEventPause = absl::Seconds(10);  // between two events about refused writes
  static constexpr size_t kMaxByBytes = 64;
  static constexpr size_t kMaxAnswerBytes = 1000;  // of a command, in the detail of its last step
  static constexpr int kMaxCommandBits = 256;      // that a command reads, for that reason

  struct Counters {
    uint64_t requests = 0;           // in plain JSON
    uint64_t bad_requests = 0;       // of these, what is none
    uint64_t responses = 0;          // to plain requests, those that were dropped included
    uint64_t dropped_responses = 0;  // the link was down for too many
    uint64_t polls = 0;              // blocks that were read
    uint64_t failed_polls = 0;
    uint64_t late_polls = 0;       // due again while still on their way: the line is too slow for the plan
    uint64_t skipped_polls = 0;    // their unit is set aside
    uint64_t writes = 0;           // done
    uint64_t unsigned_writes = 0;  // refused
  };
  struct Bus {
    ModbusLine line;
    uint64_t transactions = 0;
    uint64_t failures = 0;  // without an answer
    std::string problem;    // of the last transaction; empty: it was answered
  };
  struct Unit {
    UnitHealth health;
    uint64_t answers = 0;
    uint64_t failures = 0;
    std::string problem;  // why it did not answer the last time
  };

  ModbusHub(ModbusHubOptions options, MonoTime now);

  std::vector<Subscription> Subscriptions() const;
  bool Owns(absl::string_view topic) const;  // of a plain request
  bool IsResponse(absl::string_view topic) const;

  // A plain request. Precondition: it owns the topic.
  void Arrive(const Arrived& arrived, Now now, ModbusEffects& effects);
  void Hear(const ModbusDone& done, Now now, ModbusEffects& effects);
  void SetLinkUp(bool up) { link_up_ = up; }
  // After a connect, and when the link did not take one: what may be long without another, and answers that waited.
  void Resume(ModbusEffects& effects);
  // The link did not take this answer.
  void Refuse(Publication response);
  // Before a clean stop: who asked in JSON is told that there will be no answer. Commands are told by the next life.
  void Stop(Now now, ModbusEffects& effects);
  void Tick(Now now, ModbusEffects& effects);
  MonoTime NextDue() const;  // may be too early

  // Commands. What may be written is taken from the rate when its turn comes.
  std::optional<ModbusFailure> Judge(const v1::ModbusCall& call, MonoTime now);
  // One that was judged. Its steps come as updates, from now on.
  void Run(const ModbusCommand& command, Now now, ModbusEffects& effects);
  // False: it does not wait here. What is on the bus cannot be taken back.
  bool Cancel(CommandId command, ModbusEffects& effects);
  // Of a stop or a cancel of the device: the writes that wait. Returns how many.
  size_t StopBelow(CommandId command, absl::string_view reason, ModbusEffects& effects);

  uint64_t policy_violations() const { return guard_.refused() + counters_.unsigned_writes; }
  const Counters& counters() const { return counters_; }
  const ModbusPlan& plan() const { return plan_; }
  const Bus& bus(size_t index) const { return buses_[index]; }
  const Unit& unit(size_t index) const { return units_[index]; }
  const SignalBook& signals() const { return signals_; }

 private:
  using Parsed = std::variant<ModbusTask, ModbusFailure>;

  std::optional<size_t> FindUnit(absl::string_view id) const;
  Parsed PlanTask(const ParsedModbusRequest& parsed) const;
  std::optional<ModbusFailure> JudgePlain(const ModbusTask& task, const std::string& id, Now now,
                                          ModbusEffects& effects);
  std::optional<ModbusFailure> JudgeWrite(const ModbusTask& task, MonoTime now);
  void TellRefused(const ModbusTask& task, const ModbusFailure& failure, MonoTime now, ModbusEffects& effects);

  // Lets it wait for its bus; fails at once when that cannot be.
  void Add(ModbusTask task, Now now, ModbusEffects& effects);
  // Gives the bus what it has room for.
  void Pump(size_t bus, Now now, ModbusEffects& effects);
  std::optional<ModbusFailure> MayBegin(const ModbusTask& task, MonoTime now) const;
  std::optional<ModbusFailure> TakeFromRate(const ModbusTask& task, MonoTime now);
  void Begin(uint64_t number, ModbusTask& task, ModbusEffects& effects);
  void HearHealth(const ModbusTask& task, const ModbusDone& done, MonoTime now, ModbusEffects& effects);
  // Of a task that was ended without it: its place on the bus is free now.
  void HearLate(const ModbusDone& done, Now now, ModbusEffects& effects);
  bool GoesOn(uint64_t number, ModbusTask& task, const ModbusResult& result);

  // The end of a task, whose answer goes to who asked.
  void End(const ModbusTask& task, const ModbusResult& result, Now now, ModbusEffects& effects);
  void EndFor(const AskedInJson& origin, const ModbusTask& task, const ModbusResult& result, Now now,
              ModbusEffects& effects);
  void EndFor(const AskedByCommand& origin, const ModbusTask& task, const ModbusResult& result, Now now,
              ModbusEffects& effects);
  void EndFor(const AskedByPoll& origin, const ModbusTask& task, const ModbusResult& result, Now now,
              ModbusEffects& effects);
  void EndFor(const AskedForState& origin, const ModbusTask& task, const ModbusResult& result, Now now,
              ModbusEffects& effects);
  void Respond(const AskedInJson& origin, absl::string_view response, Now now, ModbusEffects& effects);
  void TellWritten(const ModbusTask& task, absl::string_view who, const ModbusResult& result, ModbusEffects& effects);
  void Tell(v1::EventKind kind, size_t unit, std::string detail, ModbusEffects& effects) const;

  void ExpireWaiting(Now now, ModbusEffects& effects);
  void StartPolls(Now now, ModbusEffects& effects);
  void ReportState(Now now, ModbusEffects& effects);
  void SayState(std::string state, ModbusEffects& effects) const;
  GatewayFacts Facts(MonoTime now) const;
  // Numbers of the tasks that are `chosen`, in their order.
  template <typename Chosen>
  std::vector<uint64_t> NumbersOf(Chosen chosen) const;
  ModbusTask TakeOut(uint64_t number);
  // Takes back what has not begun and is `chosen`; returns how many.
  template <typename Chosen>
  size_t TakeBack(Chosen chosen, absl::string_view reason, ModbusEffects& effects);

  const ModbusPlan plan_;
  const std::string version_;
  const bool needs_signature_;
  const MonoTime start_;
  const std::string request_topic_;
  const std::string response_topic_;
  const std::string state_topic_;
  const std::string alias_request_topic_;  // these three are empty without an alias
  const std::string alias_response_topic_;
  const std::string alias_state_topic_;
  std::optional<size_t> bridge_;  // the bus that is asked for its state

  SignalBook signals_;
  ModbusPoller poller_;
  WriteGuard guard_;
  RecentWrites recent_writes_;
  std::vector<Bus> buses_;
  std::vector<Unit> units_;
  absl::flat_hash_map<uint64_t, ModbusTask> tasks_;  // by number
  uint64_t numbers_ = 0;
  MonoTime expiry_due_ = MonoTime::Max();  // may be too early
  MonoTime state_due_ = MonoTime::Max();
  MonoTime tell_refused_at_;
  uint64_t untold_refusals_ = 0;
  bool link_up_ = false;
  bool is_asking_for_state_ = false;
  std::deque<Publication> kept_responses_;  // until the link takes them, oldest first
  Counters counters_;
};

}  // namespace fleet::device
