// Asks the OBD-II controllers of one bus for what the configuration wants to know.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "device/can/bus_plan.h"
#include "device/can/can_effects.h"
#include "device/can/dtc_book.h"
#include "device/can/obd_exchange.h"
#include "device/can/obd_pids.h"
#include "device/signals/signal_book.h"

namespace fleet::device {

// Where what the controllers say goes.
struct ObdOut {
  SignalBook& signals;
  DtcBook& dtcs;
  CanEffects& effects;  // requests and flow control, too
};

// What became of a Clear.
struct ObdCleared {
  uint64_t token = 0;
  bool ok = false;     // at least one controller has cleared its codes, and none refused or is not done
  std::string detail;  // "7E8 cleared, 7E9 refused: conditions not correct"
};

//   Down --bus up--> Asleep --pause over, somebody answers 01 00--> Discovering --bitmaps known--> Alive
//   Discovering, Alive --kMaxSilent requests that nobody answers--> Asleep, for 1 s, 2 s, ... 30 s
//
// Alive: parameters are asked for when their period is over, the longest overdue first, up to kMaxGroup in one request.
// What is missing in the answer to several is asked for alone: if it comes then, kMaxGroupFailures times without a good
// group between, there are no more groups; if not, it is left out of them. Of a parameter that several controllers
// have, the one with the lowest id counts. One that none has is invalid, and looked for again every minute. Every
// dtc_period: MIL, stored and pending codes.
//
// Loop thread only. Bounds: those of ObdExchange.
class ObdPoller {
 public:
  static constexpr size_t kMaxGroup = 6;  // SAE J1979, over CAN
  static constexpr int kMaxGroupFailures = 3;
  static constexpr int kMaxSilent = 3;
  static constexpr absl::Duration kMinPause = absl::Seconds(1);
  static constexpr absl::Duration kMaxPause = absl::Seconds(30);
  static constexpr absl::Duration kMinPeriod = absl::Milliseconds(10);
  static constexpr absl::Duration kRediscover = absl::Minutes(1);

  // `bus`: for CanWrite; `name`: for trouble codes. The parameters of `plan` are in ObdPids().
  ObdPoller(size_t bus, absl::string_view name, const PlannedObd& plan);

  // It starts with the bus down, and asks nothing then. A Clear that the bus goes under has failed.
  void BusChanged(bool up, MonoTime now);
  // Any frame of the bus.
  void Hear(const CanFrame& frame, Now now, ObdOut out);
  void Tick(Now now, ObdOut out);
  MonoTime NextDue() const;  // changes with all of the above

  // Mode 04, for all controllers: erases stored and pending codes, freeze frames and readiness. Nothing else sends it,
  // and it is never repeated. It goes out by Tick when the request under way is over, at most kClearPatience later or
  // not at all. kUnavailable: the bus is down, or another one is under way.
  static constexpr absl::Duration kClearPatience = absl::Seconds(1);
  absl::Status Clear(uint64_t token, MonoTime now);
  // Once for each Clear that was OK; look for it after BusChanged, Hear and Tick.
  std::optional<ObdCleared> TakeCleared() { return std::exchange(cleared_, std::nullopt); }

  ObdExchange::Counters counters() const { return exchange_.counters(); }
  size_t unsupported() const;  // parameters that no controller has; all of them until discovered
  bool alive() const { return state_ == State::kAlive; }

 private:
  enum class State : uint8_t { kDown, kAsleep, kDiscovering, kAlive };
  enum class Kind : uint8_t { kNone, kDiscover, kData, kMonitor, kStored, kPending, kClear };

  struct Ecu {
    uint32_t id = 0;
    std::bitset<256> supported;  // of mode 01
    bool present = false;        // answered 01 00 since the bus was found
    bool told_codes = false;     // in this round
    std::vector<uint16_t> stored;
    std::vector<uint16_t> pending;
  };
  // A parameter, for all signals that show it.
  struct Parameter {
    const ObdPid* pid;
    absl::Duration period;
    std::vector<size_t> signals;
    std::optional<uint32_t> owner;  // the controller that counts
    MonoTime due;
    bool fresh = false;  // the request under way has brought it
    bool probe = false;  // was missing in a group: what if it is asked for alone?
    bool alone = false;  // spoils groups
  };

  void Ask(Kind kind, std::vector<uint8_t> request, MonoTime now, CanEffects& effects);
  void AskNext(MonoTime now, CanEffects& effects);
  bool AskData(MonoTime now, CanEffects& effects);
  bool AskCodes(MonoTime now, CanEffects& effects);
  std::vector<Parameter*> ChooseDue(MonoTime now);
  bool IsExpected(const Ecu& ecu, Kind kind, std::span<const uint8_t> request) const;

  bool Take(const ObdAnswer& answer, int64_t at_unix_ms, Now now, ObdOut out);
  bool TakeReadings(Ecu& ecu, std::span<const uint8_t> message, int64_t at_unix_ms, Now now, ObdOut out);
  bool TakeCodes(Ecu& ecu, std::span<const uint8_t> message);

  void Finish(Now now, ObdOut out);
  void FinishDiscovery(Now now, ObdOut out);
  void Discovered(Now now, ObdOut out);
  void FinishData(Now now, ObdOut out);
  void FinishGroup(std::span<Parameter* const> group, MonoTime now);
  void FinishSingle(Parameter& parameter, Now now, ObdOut out);
  void FinishCodes(Now now, ObdOut out);
  void FinishClear(MonoTime now);
  void EndClear(bool ok, std::string detail);
  void Sleep(MonoTime until);
  void Lose(Parameter& parameter, Now now, ObdOut out);

  bool clear_waits() const { return clear_.has_value() && !(exchange_.busy() && kind_ == Kind::kClear); }
  Ecu& FindEcu(uint32_t id);
  Parameter* FindParameter(uint8_t pid);
  DtcSource Source(const Ecu& ecu) const { return {.bus = name_, .protocol = "obd", .ecu = ecu.id}; }

  const size_t bus_;
  const std::string name_;
  const absl::Duration dtc_period_;  // zero: never
  ObdExchange exchange_;
  std::vector<Parameter> parameters_;  // by pid
  std::vector<Ecu> ecus_;              // by id; no more than controllers of exchange_

  State state_ = State::kDown;
  Kind kind_ = Kind::kNone;  // of the last request
  int silent_ = 0;           // requests in a row that nobody answered
  MonoTime wake_;            // of kAsleep
  absl::Duration pause_ = kMinPause;
  absl::Duration rest_ = absl::ZeroDuration();  // before a bus that has come up is asked, since nobody answered
  MonoTime rediscover_ = MonoTime::Max();
  uint8_t next_bitmap_ = 0;

  size_t group_ = kMaxGroup;
  int group_failures_ = 0;
  bool single_next_ = false;  // nobody answered a group

  MonoTime codes_due_ = MonoTime::Max();
  Kind next_codes_ = Kind::kNone;  // of the round under way

  std::optional<uint64_t> clear_;  // waits, or is under way
  MonoTime clear_until_;
  std::optional<ObdCleared> cleared_;
};

}  // namespace fleet::device
