#include "server/modbus_views.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/http_server.h"
#include "common/modbus/modbus_json.h"
#include "server/modbus_orders.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kDefaultTtl = absl::Seconds(5);
constexpr size_t kMaxShownValues = 60;  // bytes of them in a summary

absl::string_view TableOf(ModbusFunction function) {
  switch (function) {
    case ModbusFunction::kReadCoils:
    case ModbusFunction::kWriteCoil:
    case ModbusFunction::kWriteCoils:
      return "coil";
    case ModbusFunction::kReadDiscreteInputs:
      return "discrete input";
    case ModbusFunction::kReadInputRegisters:
      return "input";
    case ModbusFunction::kReadHoldingRegisters:
    case ModbusFunction::kWriteRegister:
    case ModbusFunction::kWriteRegisters:
      return "holding";
  }
  return "nothing";
}

// "holding 10056 of meter", "coil 0..7 of meter"
std::string PlaceOf(const ModbusRequest& request) {
  const bool single = IsOfBits(request.function) ? request.size == 1 : request.size == RegistersOf(request.type);
  const std::string last = single ? "" : absl::StrCat("..", request.address + request.size - 1);
  return absl::StrCat(TableOf(request.function), " ", request.address, last, " of ", request.device_id);
}

bool HasFailed(absl::string_view state) {
  return state == "rejected" || state == "failed" || state == "expired" || state == "cancelled";
}

std::string ResponseOf(const v1::CommandView& command) {
  const std::string detail = command.steps().empty() ? "" : command.steps().rbegin()->detail();
  if (command.state() == "done") return IsJsonObject(detail) ? detail : "null";
  if (HasFailed(command.state())) return ModbusFailureJson({.code = command.reason(), .message = detail});
  if (command.state() != "unknown") return "null";
  // Its reason, no_answer, would read as if the unit had been asked in vain.
  return ModbusFailureJson(
      {.code = "unknown",
       .message = absl::StrCat("nobody knows what became of it, as the device was not heard: ", command.reason())});
}

}  // namespace

absl::StatusOr<ModbusOrder> ModbusOrderOf(absl::string_view body) {
  auto asked = ParseAskedModbus(body);
  if (const auto* failure = std::get_if<ModbusFailure>(&asked)) return StatusOf(*failure);
  ModbusOrder order;
  order.call.set_request(std::move(std::get<AskedModbus>(asked).request));
  order.call.set_by(std::move(std::get<AskedModbus>(asked).by));
  if (absl::Status status = Check(order.call); !status.ok()) return status;
  order.ttl = ParseModbusRequest(order.call.request()).ttl.value_or(kDefaultTtl);
  return order;
}

std::string Summary(const v1::ModbusCall& call) {
  const ParsedModbusRequest parsed = ParseModbusRequest(call.request());
  const auto* request = std::get_if<ModbusRequest>(&parsed.request);
  if (request == nullptr) return "ask for nothing valid";
  const std::string place = PlaceOf(*request);
  if (IsWrite(request->function)) {
    const bool shown = request->values.size() <= kMaxShownValues;
    return absl::StrCat("write ", shown ? request->values : absl::StrCat(request->size, " words"), " to ", place);
  }
  return absl::StrCat("read ", place, IsOfBits(request->function) ? "" : absl::StrCat(" as ", Name(request->type)));
}

std::string ModbusAnswerJson(const v1::CommandView& command) {
  v1::ModbusAnswer answer;
  answer.set_command_id(command.command_id());
  answer.set_state(command.state());
  answer.set_success(command.state() == "done");
  // By hand: protobuf would make doubles of the numbers in the response, and 64 bits have to come through.
  std::string json(absl::StripSuffix(ToJson(answer), "}\n"));
  absl::StrAppend(&json, ",\"response\":", ResponseOf(command),
                  ",\"command\":", absl::StripSuffix(ToJson(command), "\n"), "}\n");
  return json;
}

}  // namespace fleet::server
