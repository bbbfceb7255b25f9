// Commands for CAN buses, from the gate to the bus.
#pragma once

#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "device/can/can_command.h"
#include "device/can/can_hub.h"
#include "device/effects.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Holds each back until the disk remembers it, as SegmentExecutor does; then the hub runs it.
//
//   Add --> waiting --saved--> hub: running --> done | failed
//              |--time to live over--> expired      '--Cancel--> cancelled
//              '--Cancel--> cancelled
//
// Pure; loop thread only. Bounds: kMaxWaiting.
class CanCommands {
 public:
  static constexpr size_t kMaxWaiting = 256;
  using Updates = std::vector<v1::CommandUpdate>;

  explicit CanCommands(CanHub* hub) : hub_(hub) {}  // null: this device has no bus, and no command gets here

  void Add(CanCommand command, bool is_saved, MonoTime now, Updates& updates, Effects& effects);
  // As of SegmentExecutor.
  void Saved(CommandId command, bool ok, MonoTime now, Updates& updates, Effects& effects);
  // Of a stop or a cancel of the device: what waits and would put something on a bus. Taps go on.
  size_t StopBelow(CommandId command, absl::string_view reason, Updates& updates);
  // False: it neither waits nor runs.
  bool Cancel(CommandId command, Updates& updates, Effects& effects);

 private:
  void Run(const CanCommand& command, MonoTime now, Updates& updates, Effects& effects);

  CanHub* const hub_;
  std::vector<CanCommand> waiting_;
};

}  // namespace fleet::device
