// Commands for CAN buses and Modbus units, from the gate to the bus.
#pragma once

#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "device/can/can_command.h"
#include "device/can/can_hub.h"
#include "device/effects.h"
#include "device/modbus/modbus_command.h"
#include "device/modbus/modbus_hub.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

using BusCommand = std::variant<CanCommand, ModbusCommand>;

// Holds each back until the disk remembers it, as SegmentExecutor does; then its hub runs it.
//
//   Add --> waiting --saved--> hub: running --> done | failed
//              |--time to live over--> expired      '--Cancel--> cancelled
//              '--Cancel--> cancelled
//
// Pure; loop thread only. Bounds: kMaxWaiting.
class BusCommands {
 public:
  static constexpr size_t kMaxWaiting = 256;
  using Updates = std::vector<v1::CommandUpdate>;

  // nullptr: this device has no such bus, and no command for it gets here.
  BusCommands(CanHub* can, ModbusHub* modbus) : can_(can), modbus_(modbus) {}

  void Add(BusCommand command, bool is_saved, Now now, Updates& updates, Effects& effects);
  // As of SegmentExecutor.
  void Saved(CommandId command, bool ok, Now now, Updates& updates, Effects& effects);
  // Of a stop or a cancel of the device: what waits and would put something on a CAN bus or write to a unit. Taps and
  // reads go on.
  size_t StopBelow(CommandId command, absl::string_view reason, Updates& updates, Effects& effects);
  // False: it neither waits nor runs.
  bool Cancel(CommandId command, Updates& updates, Effects& effects);

 private:
  void Run(const BusCommand& command, Now now, Updates& updates, Effects& effects);

  CanHub* const can_;
  ModbusHub* const modbus_;
  std::vector<BusCommand> waiting_;
};

}  // namespace fleet::device
