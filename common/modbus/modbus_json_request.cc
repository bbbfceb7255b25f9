// ParseModbusRequest of modbus_json.h.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/json_text.h"
#include "common/modbus/modbus_json.h"
#include "common/modbus/modbus_values.h"

namespace fleet {
namespace {

using nlohmann::json;

constexpr size_t kMaxIdBytes = 128;
constexpr int64_t kMaxTtlMs = 3'600'000;

// Not an absl::Status: its codes are not those of a ModbusFailure.
using Failure = std::optional<ModbusFailure>;

template <typename... Parts>
ModbusFailure Wrong(absl::string_view code, const Parts&... parts) {
  return {.code = std::string(code), .message = absl::StrCat(parts...)};
}

std::optional<ModbusNumber> NumberIn(const json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return value.get<uint64_t>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  if (int64_t number = 0; absl::SimpleAtoi(text, &number)) return number;
  if (uint64_t number = 0; absl::SimpleAtoi(text, &number)) return number;
  if (double number = 0; absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
  return std::nullopt;
}

bool IsWhole(const ModbusNumber& number) {
  const auto* value = std::get_if<double>(&number);
  return value == nullptr || std::trunc(*value) == *value;
}

// Of a field that has to be a whole number; what is beyond `max` comes out as -1.
std::optional<int64_t> WholeIn(const json& value, int64_t max) {
  const std::optional<ModbusNumber> number = NumberIn(value);
  if (!number || !IsWhole(*number)) return std::nullopt;
  const bool fits = Compare(*number, int64_t{0}) >= 0 && Compare(*number, max) <= 0;
  return fits ? static_cast<int64_t>(ToDouble(*number)) : -1;
}

Failure TakeFunction(const json& object, ModbusRequest& request) {
  const json* field = FindField(object, "function_code");
  if (field == nullptr) return std::nullopt;
  switch (const std::optional<int64_t> code = WholeIn(*field, 255); code.value_or(-1)) {
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 15:
    case 16:
      request.function = static_cast<ModbusFunction>(*code);
      return std::nullopt;
    default:
      return Wrong("bad_function", "function_code: ", ForeignWords(DumpJson(*field)),
                   " is not 1, 2, 3, 4, 5, 6, 15 or 16");
  }
}

Failure TakeDevice(const json& object, ModbusRequest& request) {
  const json* field = FindField(object, "device_id");
  if (field == nullptr) return Wrong("bad_request", "device_id is missing");
  if (field->is_string()) request.device_id = field->get<std::string>();
  if (field->is_number_integer()) request.device_id = field->dump();
  if (IsUnitId(request.device_id)) return std::nullopt;
  return Wrong("bad_request", "device_id: 1 to ", kMaxUnitIdBytes, " of A-Z a-z 0-9 . _ -");
}

Failure TakeAddress(const json& object, ModbusRequest& request) {
  const json* field = FindField(object, "address");
  if (field == nullptr) return Wrong("bad_request", "address is missing");
  const std::optional<int64_t> address = WholeIn(*field, UINT16_MAX);
  if (!address) return Wrong("bad_request", "address: not a whole number");
  if (*address < 0) return Wrong("bad_address", "address: not 0 to 65535");
  request.address = static_cast<uint16_t>(*address);
  return std::nullopt;
}

// Of bits it is not looked at.
Failure TakeType(const json& object, ModbusRequest& request) {
  const json* field = FindField(object, "type");
  if (field == nullptr || IsOfBits(request.function)) return std::nullopt;
  const std::string name = field->is_string() ? field->get<std::string>() : DumpJson(*field);
  const std::optional<ModbusType> type = ParseModbusType(name);
  if (!type) return Wrong("bad_type", "type: ", ForeignWords(name), " is not ", kModbusTypeNames);
  request.type = *type;
  return std::nullopt;
}

Failure TakeOrder(const json& object, ModbusRequest& request) {
  const json* field = FindField(object, "endianess");
  if (field == nullptr) return std::nullopt;
  if (*field != "big" && *field != "little") return Wrong("bad_request", "endianess: not big or little");
  request.little_endian = *field == "little";
  return std::nullopt;
}

Failure TakeScale(const json& object, ModbusRequest& request) {
  const json* field = FindField(object, "scale_factor");
  if (field == nullptr) return std::nullopt;
  if (field->is_number()) request.scale_factor = field->get<double>();
  if (field->is_number() && std::isfinite(request.scale_factor) && request.scale_factor != 0) return std::nullopt;
  return Wrong("bad_request", "scale_factor: not a number other than 0");
}

// 0: it is not given.
Failure TakeSize(const json& object, ModbusRequest& request) {
  request.size = 0;
  const json* field = FindField(object, "size");
  if (field == nullptr) return std::nullopt;
  const int max = MaxSize(request.function);
  const std::optional<int64_t> size = WholeIn(*field, max);
  if (!size) return Wrong("bad_request", "size: not a whole number");
  if (*size < 1) return Wrong("bad_size", "size: function ", CodeOf(request.function), " has 1 to ", max);
  if (*size % SizeOfValue(request) != 0)
    return Wrong("bad_size", "size: a ", Name(request.type), " has ", SizeOfValue(request), " registers");
  request.size = static_cast<uint16_t>(*size);
  return std::nullopt;
}

Failure AppendBit(const json& value, ModbusRequest& request) {
  const int64_t bit = value.is_boolean() ? int64_t{value.get<bool>()} : WholeIn(value, 1).value_or(-1);
  if (bit < 0) return Wrong("bad_values", "values: ", ForeignWords(DumpJson(value)), " is not true, false, 0 or 1");
  request.words.push_back(static_cast<uint16_t>(bit));
  return std::nullopt;
}

Failure AppendNumber(const json& value, ModbusRequest& request) {
  const std::optional<ModbusNumber> number = NumberIn(value);
  if (!number) return Wrong("bad_values", "values: ", ForeignWords(DumpJson(value)), " is not a number");
  if (request.type != ModbusType::kF32 && request.scale_factor == 1 && !IsWhole(*number))
    return Wrong("bad_values", "values: ", ForeignWords(DumpJson(value)), " is not whole, as a ", Name(request.type),
                 " is");
  const absl::Status appended =
      AppendRegisters(*number, request.type, request.little_endian, request.scale_factor, request.words);
  if (!appended.ok()) return Wrong("out_of_range", "values: ", appended.message());
  return std::nullopt;
}

Failure TooMany(const ModbusRequest& request, size_t size) {
  return Wrong("bad_size", "values: function ", CodeOf(request.function), " writes at most ", MaxSize(request.function),
               ", not ", size);
}

// `values`: not empty.
Failure TakeNumbers(const json& values, ModbusRequest& request) {
  const size_t size = values.size() * SizeOfValue(request);
  if (size > static_cast<size_t>(MaxSize(request.function))) return TooMany(request, size);
  if (request.size != 0 && request.size != size)
    return Wrong("bad_size", "size: ", request.size, ", but the values have ", size);
  for (const json& value : values) {
    Failure failure = IsOfBits(request.function) ? AppendBit(value, request) : AppendNumber(value, request);
    if (failure) return failure;
  }
  return std::nullopt;
}

Failure TakeText(const json& values, ModbusRequest& request) {
  if (values.size() != 1 || !values[0].is_string()) return Wrong("bad_values", "values: not one text, as a STR is");
  const auto text = values[0].get<std::string>();
  if (text.empty() && request.size == 0) return Wrong("bad_values", "values: an empty text needs a size");
  auto words = RegistersOfText(text, request.size);
  if (!words.ok()) return Wrong("out_of_range", "values: ", words.status().message());
  if (words->size() > static_cast<size_t>(MaxSize(request.function))) return TooMany(request, words->size());
  request.words = *std::move(words);
  return std::nullopt;
}

Failure TakeValues(const json& object, ModbusRequest& request) {
  if (!IsWrite(request.function)) return std::nullopt;
  const json* field = FindField(object, "values");
  if (field == nullptr) return Wrong("bad_request", "values is missing");
  if (field->is_object()) return Wrong("bad_values", "values: not a value or a list");
  if (field->empty()) return Wrong("bad_values", "values: the list is empty");
  const json values = field->is_array() ? *field : json::array({*field});
  const bool is_text = request.type == ModbusType::kString && !IsOfBits(request.function);
  if (Failure failure = is_text ? TakeText(values, request) : TakeNumbers(values, request)) return failure;
  request.size = static_cast<uint16_t>(request.words.size());
  request.values = DumpJson(*field);
  return std::nullopt;
}

Failure CheckEnd(const json&, ModbusRequest& request) {
  constexpr int kEnd = UINT16_MAX + 1;
  if (request.size == 0) request.size = static_cast<uint16_t>(SizeOfValue(request));
  if (request.address + request.size <= kEnd) return std::nullopt;
  return Wrong("bad_address", "address: ", request.size, " from ", request.address, " on go beyond 65535");
}

Failure TakeTtl(const json& object, ParsedModbusRequest& parsed) {
  const json* field = FindField(object, "ttl_ms");
  if (field == nullptr) return std::nullopt;
  const int64_t ttl_ms = WholeIn(*field, kMaxTtlMs).value_or(-1);
  if (ttl_ms < 1) return Wrong("bad_request", "ttl_ms: not 1 to ", kMaxTtlMs);
  parsed.ttl = absl::Milliseconds(ttl_ms);
  return std::nullopt;
}

// One that cannot be given back is as good as none.
Failure TakeId(const json& object, ParsedModbusRequest& parsed) {
  const auto id = object.find("id");
  if (id == object.end()) return std::nullopt;
  const bool is_short = !id->is_string() || id->get_ref<const std::string&>().size() <= kMaxIdBytes;
  if (id->is_structured() || !is_short)
    return Wrong("bad_request", "id: not a text, number, true, false or null of at most ", kMaxIdBytes, " bytes");
  parsed.id = DumpJson(*id);
  return std::nullopt;
}

std::variant<ModbusRequest, ModbusFailure> RequestIn(const json& object) {
  ModbusRequest request;
  // What later ones need comes first: the function says what the type means, and both what a size is.
  for (const auto take :
       {TakeFunction, TakeDevice, TakeAddress, TakeType, TakeOrder, TakeScale, TakeSize, TakeValues, CheckEnd}) {
    if (Failure failure = take(object, request)) return *std::move(failure);
  }
  return request;
}

}  // namespace

ParsedModbusRequest ParseModbusRequest(absl::string_view text) {
  ParsedModbusRequest parsed;
  const absl::StatusOr<json> object = ParseJson(text);
  if (!object.ok()) {
    parsed.request = Wrong("not_json", object.status().message());
    return parsed;
  }
  if (!object->is_object()) {
    parsed.request = Wrong("not_json", "not an object in JSON, {...}");
    return parsed;
  }
  // As it came, so that no number changes; without what may be around it, a byte order mark included.
  const size_t begin = text.find('{');
  parsed.echo = std::string(text.substr(begin, text.rfind('}') + 1 - begin));
  parsed.request = RequestIn(*object);
  const Failure bad_id = TakeId(*object, parsed);
  const Failure bad_ttl = TakeTtl(*object, parsed);
  if (bad_ttl) parsed.request = *bad_ttl;
  if (bad_id) parsed.request = *bad_id;
  return parsed;
}

bool AsksToWrite(absl::string_view json) {
  const ParsedModbusRequest parsed = ParseModbusRequest(json);
  const auto* request = std::get_if<ModbusRequest>(&parsed.request);
  return request != nullptr && IsWrite(request->function);
}

}  // namespace fleet
