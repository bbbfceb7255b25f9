// Orders to Modbus units and their answers as the HTTP API has them (api.proto). Pure; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fleet/v1/api.pb.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::server {

struct ModbusOrder {
  v1::ModbusCall call;
  absl::Duration ttl;
};
// Of the body of a POST: a request with `by` and `ttl_ms` among its fields. Errors as Check(ModbusCall) has them.
absl::StatusOr<ModbusOrder> ModbusOrderOf(absl::string_view body);

// "read holding 10056 of meter as F32", "write 170 to holding 33207 of meter".
std::string Summary(const v1::ModbusCall& call);

// ModbusAnswer with its `response`: what the device answered, or why it did not; null as long as neither is known, and
// when the device has no words for what it did.
std::string ModbusAnswerJson(const v1::CommandView& command);

}  // namespace fleet::server
