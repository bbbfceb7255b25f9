#include "server/modbus_orders.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_json.h"
#include "common/status_macros.h"
#include "server/asked_by.h"

namespace fleet::server {

absl::Status StatusOf(const ModbusFailure& failure) {
  const absl::StatusCode code =
      failure.code == "too_large" ? absl::StatusCode::kOutOfRange : absl::StatusCode::kInvalidArgument;
  return absl::Status(code, absl::StrCat(failure.code, ": ", failure.message));
}

absl::Status Check(const v1::ModbusCall& call) {
  RETURN_IF_ERROR(CheckBy(call.by()));
  if (call.request().size() > kMaxModbusRequestBytes) {
    return StatusOf({.code = "too_large",
                     .message = absl::StrCat("the request has ", call.request().size(), " bytes, at most ",
                                             kMaxModbusRequestBytes, " are taken")});
  }
  const ParsedModbusRequest parsed = ParseModbusRequest(call.request());
  if (const auto* failure = std::get_if<ModbusFailure>(&parsed.request)) return StatusOf(*failure);
  return absl::OkStatus();
}

}  // namespace fleet::server
