// What every command passes before anything moves.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/signing.h"
#include "device/can/can_command.h"
#include "device/can/can_hub.h"
#include "device/command_memory.h"
#include "device/modbus/modbus_command.h"
#include "device/modbus/modbus_hub.h"
#include "device/segment_order.h"
#include "device/server_time.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Why a command does not run. The words are in docs/protocol.md section 6.
enum class Refusal {
  kOversized,
  kMalformed,
  kBadSignature,
  kWrongVersion,
  kDuplicate,
  kBadTtl,
  kClockUnknown,
  kMemoryLost,
  kExpired,
  kUnknownEntity,
  kBadSegment,
  kUnknownBus,
  kUnknownDevice,
  kBadOrder,
  kNotAllowed,
  kStopped,
  kNewerKnown,
  kOverloaded,
};
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kOverloaded) + 1;
absl::string_view Word(Refusal refusal);

// A cancel that passed.
struct CancelOrder {
  CommandId command{};
  int64_t issued_ms = 0;  // on the server's steady clock
  v1::Cancel cancel;      // checked: it has a target that may exist
};
using PassedCommand = std::variant<SegmentOrder, CancelOrder, CanCommand, ModbusCommand>;

// Lets a command through at most once, in time, signed and meaningful: size, signature, parse, version, known id, time,
// meaning, barrier, room, in this order.
//
// Every refusal is counted, and answered when the command's id can be read, which for an oversized or malformed one it
// cannot. To a copy of a known command the answer is that command's state. The id under a bad signature is nobody's
// word, so such a command is answered only if the id is new, and the id stays free for the real one.
//
// Age is judged on the server's steady clock as ServerTime knows it. In doubt we refuse: before the first beat, when a
// command seems to come from the future, and when the memory does not reach back to it, because then an earlier life
// may have run it.
//
// What passes, and what is refused for its content or its time, is remembered. Loop only.
class CommandGate {
 public:
  static constexpr int64_t kMaxFromFutureMs = 2000;  // more than the estimate of the server's time is ever wrong

  struct Options {
    std::optional<CommandKey> key;  // none: signatures are not looked at
    std::vector<EntityId> entities;
    CanHub* can = nullptr;        // judges what is for a bus, by direction, id and rate; null: this device has none
    ModbusHub* modbus = nullptr;  // judges what is for a unit, by register, range and rate; likewise
  };
  explicit CommandGate(Options options);

  // What to do now; or nullopt, with the answer, if there is one, appended to `updates`.
  std::optional<PassedCommand> Judge(absl::string_view payload, const ServerTime& time, MonoTime now,
                                     CommandMemory& memory, std::vector<v1::CommandUpdate>& updates);

  uint64_t refused(Refusal refusal) const { return refused_[static_cast<size_t>(refusal)]; }
  uint64_t refused_total() const { return std::accumulate(refused_.begin(), refused_.end(), uint64_t{0}); }
  uint64_t passed() const { return passed_; }

 private:
  // nullopt: `command_` is parsed and was signed.
  std::optional<Refusal> Open(absl::string_view payload);
  // nullopt: it may run. What follows the check for a known id; what is refused here is remembered, if there is room.
  std::optional<Refusal> JudgeNew(std::optional<int64_t> server_now_ms, MonoTime now, CommandMemory& memory);
  std::optional<Refusal> CheckTime(std::optional<int64_t> server_now_ms, const CommandMemory& memory) const;
  std::optional<Refusal> CheckMeaning(MonoTime now);
  std::optional<Refusal> CheckCancel() const;
  std::optional<Refusal> CheckSegment() const;
  std::optional<Refusal> CheckCan(MonoTime now);
  std::optional<Refusal> CheckModbus(MonoTime now);
  std::optional<Refusal> CheckBarriers(const CommandMemory& memory) const;
  bool Drives(uint32_t entity_id) const;
  RememberedCommand ToRemember(std::optional<Refusal> refusal) const;
  PassedCommand Pass(int64_t server_now_ms, MonoTime now) const;

  const Options options_;
  v1::CommandFrame frame_;  // these two are used again
  v1::Command command_;
  std::string detail_;  // of the refusal, for people
  std::array<uint64_t, kRefusals> refused_{};
  uint64_t passed_ = 0;
};

}  // namespace fleet::device
