// A command for a Modbus unit that passed the command gate.
#pragma once

#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {

struct ModbusCommand {
  CommandId command{};
  MonoTime expires_at;  // never begun after it
  v1::ModbusCall body;
};

}  // namespace fleet::device
