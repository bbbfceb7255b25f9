#include "common/modbus/modbus_json.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json_text.h"
#include "common/modbus/modbus_values.h"

namespace fleet {
namespace {

using nlohmann::json;

std::string Timestamp(absl::Time now) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", now, absl::UTCTimeZone());
}

// What is not finite is null.
std::string JsonOf(const ModbusNumber& number) {
  return std::visit([](auto value) { return DumpJson(json(value)); }, number);
}

std::string HexOf(const ModbusRequest& request, const std::vector<uint16_t>& words) {
  std::string hex;
  if (!IsOfBits(request.function)) {
    for (const uint16_t word : words) absl::StrAppend(&hex, absl::Hex(word, absl::kZeroPad4));
    return absl::AsciiStrToUpper(hex);
  }
  // Packed as on the wire: the first bit is the lowest of the first byte.
  std::vector<uint8_t> bytes((words.size() + 7) / 8);
  for (size_t i = 0; i < words.size(); ++i) bytes[i / 8] |= static_cast<uint8_t>((words[i] != 0 ? 1 : 0) << i % 8);
  for (const uint8_t byte : bytes) absl::StrAppend(&hex, absl::Hex(byte, absl::kZeroPad2));
  return absl::AsciiStrToUpper(hex);
}

// The registers of each value with the high one first.
std::vector<uint16_t> Swapped(const ModbusRequest& request, std::vector<uint16_t> words) {
  const size_t step = SizeOfValue(request);
  if (!request.little_endian) return words;
  for (size_t first = 0; first + step <= words.size(); first += step) {
    std::reverse(words.begin() + static_cast<ptrdiff_t>(first), words.begin() + static_cast<ptrdiff_t>(first + step));
  }
  return words;
}

std::vector<std::string> ValuesOf(const ModbusRequest& request, const std::vector<uint16_t>& words) {
  if (request.type == ModbusType::kString && !IsOfBits(request.function)) return {JsonString(TextOf(words))};
  std::vector<std::string> values;
  for (const ModbusNumber& number : NumbersOf(request, words)) values.push_back(JsonOf(number));
  return values;
}

std::string StateJson(json state, absl::Time now) {
  state["timestamp"] = Timestamp(now);
  state["type"] = "gateway_state";
  return DumpJson(state);
}

}  // namespace

std::string ModbusResponseJson(const ParsedModbusRequest& request, absl::string_view response, absl::Time now) {
  const std::string id = request.id.empty() ? "" : absl::StrCat("\"id\":", request.id, ",");
  return absl::StrCat("{\"timestamp\":\"", Timestamp(now), "\",\"type\":\"modbus_response\",", id,
                      "\"request\":", request.echo, ",\"response\":", response, "}");
}

std::string ModbusReadJson(const ModbusRequest& request, const std::vector<uint16_t>& words) {
  const std::vector<std::string> values = ValuesOf(request, words);
  const std::string list = absl::StrCat("[", absl::StrJoin(values, ","), "]");
  return absl::StrCat("{\"success\":true,\"device_id\":", JsonString(request.device_id),
                      ",\"register\":", request.address, ",\"size\":", request.size, ",\"raw_value\":\"",
                      HexOf(request, words), "\",\"swapped_value\":\"", HexOf(request, Swapped(request, words)),
                      "\",\"value\":", values.size() == 1 ? values[0] : list, ",\"data\":", list, "}");
}

std::string ModbusWriteJson(const ModbusRequest& request, bool was_read_back) {
  const bool is_list = absl::StartsWith(request.values, "[");
  return absl::StrCat("{\"success\":true,\"device_id\":", JsonString(request.device_id),
                      ",\"address\":", request.address, ",\"values\":", is_list ? "" : "[", request.values,
                      is_list ? "" : "]", was_read_back ? ",\"read_back\":true}" : "}");
}

std::string ModbusFailureJson(const ModbusFailure& failure) {
  return absl::StrCat("{\"success\":false,\"error\":{\"code\":", JsonString(failure.code),
                      ",\"message\":", JsonString(failure.message), "}}");
}

std::optional<std::string> FitModbusJson(absl::string_view response, size_t max_bytes) {
  if (response.size() <= max_bytes) return std::string(response);
  absl::StatusOr<json> object = ParseJson(response);
  if (!object.ok() || !object->is_object()) return std::nullopt;
  for (const char* key : {"raw_value", "swapped_value", "data"}) object->erase(key);
  std::string shorter = DumpJson(*object);
  return shorter.size() <= max_bytes ? std::make_optional(std::move(shorter)) : std::nullopt;
}

std::string GatewayStateJson(absl::string_view bridge_state, absl::Time now) {
  absl::StatusOr<json> state = ParseJson(bridge_state);
  return state.ok() && state->is_object() ? StateJson(*std::move(state), now) : "";
}

std::string GatewayStateJson(const GatewayFacts& facts, absl::Time now) {
  return StateJson({{"status", "online"},
                    {"uptime", facts.uptime_s},
                    {"version", facts.version},
                    {"connected_devices", facts.connected_devices}},
                   now);
}

std::string GatewayFallbackJson(const GatewayFacts& facts, absl::Time now) {
  return StateJson({{"status", "api_unavailable"},
                    {"uptime", facts.uptime_s},
                    {"version", facts.version},
                    {"error", "Failed to fetch state from web container"}},
                   now);
}

}  // namespace fleet
