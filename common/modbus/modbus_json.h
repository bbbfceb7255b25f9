// Requests to Modbus units and answers of theirs as JSON: docs/modbus.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/modbus/modbus_request.h"

namespace fleet {

// Never fails as a whole: see ParsedModbusRequest. A request that comes out is sound: its size fits function and
// type, its words are what is to be written. Codes: not_json (no JSON object; with the place), bad_request,
// bad_function, bad_address, bad_size, bad_type, bad_values, out_of_range. Takes time in proportion to `json`, which
// the caller bounds. A number that is no 64-bit integer comes back in "id" as the double next to it.
ParsedModbusRequest ParseModbusRequest(absl::string_view json);
// Whether it is a request that would write.
bool AsksToWrite(absl::string_view json);

// The whole message of rpi/<id>/modbus/response around the JSON object `response`.
std::string ModbusResponseJson(const ParsedModbusRequest& request, absl::string_view response, absl::Time now);

// Objects for `response`; whatever they are made of, they are UTF-8. Of a read:
// {"success":true,"device_id","register", "size","raw_value","swapped_value","value","data"}; `words` are as
// ModbusReply has them. raw_value: the registers in hex, bits packed as on the wire; swapped_value: each value with
// its high register first; value: alone or a list; data: always a list. What is no number is null. Of a write:
// {"success":true,"device_id","address","values"}, a list.
std::string ModbusReadJson(const ModbusRequest& request, const std::vector<uint16_t>& words);
std::string ModbusWriteJson(const ModbusRequest& request, bool was_read_back);
std::string ModbusFailureJson(const ModbusFailure& failure);
// The same without raw_value, swapped_value and data when it would be longer than `max_bytes`; nullopt: even so it
// is.
std::optional<std::string> FitModbusJson(absl::string_view response, size_t max_bytes);

// For who passes requests and answers on.
struct AskedModbus {
  std::string request;  // all fields but "by", as they came
  std::string by;       // who asks; empty: it is not said
};
// not_json; bad_request: "by" is no text. All else is for ParseModbusRequest to judge.
std::variant<AskedModbus, ModbusFailure> ParseAskedModbus(absl::string_view json);
bool IsJsonObject(absl::string_view text);
// The values in a `response` for people, exact; a text without its quotes. nullopt: it has none.
std::optional<std::vector<std::string>> ModbusValueTexts(absl::string_view response);

// Path and query for the web bridge, as the system that we replace asks it. Of a write these are the registers of
// `words`, not scaled: the bridge knows neither scale nor order.
std::string ModbusWebTarget(const ModbusRequest& request);
// What the bridge answers becomes a `response`: its own object and "success":true; or a failure: bridge_refused with
// its words for 400 and 404, bridge_failed for other states and what is no JSON object, read_failed for a read
// without a value, write_failed for a write without "success":true.
std::variant<std::string, ModbusFailure> ModbusWebAnswer(const ModbusRequest& request, int status,
                                                         absl::string_view body);
// The registers in an answer of the bridge to a read: its raw_value. nullopt: it has none, or too short a one.
std::optional<std::vector<uint16_t>> ModbusWebWords(absl::string_view body, size_t count);

struct GatewayFacts {
  double uptime_s = 0;
  std::string version;
  size_t connected_devices = 0;  // units that answer
};
// gateway_state: what the bridge's /api/state says with timestamp and type; what a device without a bridge says of
// itself; what is said when the bridge does not answer with a JSON object.
std::string GatewayStateJson(absl::string_view bridge_state, absl::Time now);  // empty: it is no JSON object
std::string GatewayStateJson(const GatewayFacts& facts, absl::Time now);
std::string GatewayFallbackJson(const GatewayFacts& facts, absl::Time now);

}  // namespace fleet
