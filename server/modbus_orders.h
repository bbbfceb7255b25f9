// What an order to a Modbus unit must be before it becomes a command. Whether there is such a unit, and whether these
// registers may be written, is for the device to say.
#pragma once

#include "absl/status/status.h"
#include "common/modbus/modbus_request.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::server {

// "bad_request: address is missing": what a request that is none is refused with. kInvalidArgument, kOutOfRange when it
// is too large.
absl::Status StatusOf(const ModbusFailure& failure);

// As StatusOf, or kInvalidArgument: `by` as CheckBy says.
absl::Status Check(const v1::ModbusCall& call);

}  // namespace fleet::server
