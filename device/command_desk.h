// All that becomes of a command on this device.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/signing.h"
#include "device/bus_commands.h"
#include "device/command_gate.h"
#include "device/command_memory.h"
#include "device/effects.h"
#include "device/entity_driver.h"
#include "device/fail_safe.h"
#include "device/inputs.h"
#include "device/segment_executor.h"
#include "device/server_time.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Gate, memory and executor together:
//
//   frame --> gate --segment--> executor, which starts it when the memory is on the disk
//               |  |--for a bus--> likewise
//               |  '--cancel--> at once
//               '--> answer
//
// Everything here appends the steps that commands take to `updates`; the owner hands these to Settle at the end of its
// turn, with the work for the spool. Pure; loop thread only; bounded by its parts.
class CommandDesk {
 public:
  struct Options {
    std::optional<CommandKey> key;
    std::vector<DrivenEntity> entities;
    FailSafeOptions fail_safe;
    bool disk_missing = false;    // there should be a spool: all but cancels is refused
    CanHub* can = nullptr;        // null: this device has no bus
    ModbusHub* modbus = nullptr;  // likewise
  };
  using Updates = std::vector<v1::CommandUpdate>;

  // `contents`: nullptr when there is no spool. Appends the steps of commands that an earlier life left open.
  CommandDesk(Options options, const SpoolContents* contents, Updates& updates);

  // False: nonsense.
  bool Hear(const v1::ServerBeat& beat, MonoTime now);
  // A command frame. An event to record, if it was a stop and was obeyed.
  std::optional<v1::Event> Judge(absl::string_view payload, Now now, Updates& updates, Effects& effects);
  void Done(const SpoolDone& done, Now now, Updates& updates, Effects& effects);
  void End(const SegmentEnded& end, MonoTime now, Updates& updates, Effects& effects) {
    executor_.End(end, now, updates, effects);
  }
  void EnterFailSafe(MonoTime now, Updates& updates, Effects& effects) {
    executor_.EnterFailSafe(fail_safe_, now, updates, effects);
  }
  void Tick(MonoTime now, Updates& updates, Effects& effects) { executor_.Tick(now, updates, effects); }
  void Feed(const PoseFed& fed, MonoTime now) { executor_.Feed(fed, now); }
  void SetListening(bool listening, MonoTime now) { executor_.SetListening(listening, now); }

  // Remembers these steps, and gives the spool what changed.
  void Settle(const Updates& updates, MonoTime now, SpoolWork& work);

  MonoTime NextDue() const { return std::min(executor_.NextDue(), memory_.NextDue()); }
  const CommandGate& gate() const { return gate_; }
  const CommandMemory& memory() const { return memory_; }
  const SegmentExecutor& executor() const { return executor_; }

 private:
  std::optional<v1::Event> Obey(const CancelOrder& order, MonoTime now, Updates& updates, Effects& effects);
  void Start(PassedCommand command, Now now, Updates& updates, Effects& effects);
  void CancelOne(const CancelOrder& order, MonoTime now, Updates& updates, Effects& effects);
  bool BarFromRunning(const CancelOrder& order, MonoTime now);

  ServerTime server_time_;  // with the memory's beginning, what each beat touches
  CommandMemory memory_;
  CommandGate gate_;
  SegmentExecutor executor_;
  BusCommands buses_;
  const FailSafeOptions fail_safe_;
  const bool disk_missing_;
};

}  // namespace fleet::device
