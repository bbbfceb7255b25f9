#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/modbus/modbus_json.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "tools/fleetctl/words.h"

namespace fleet {
namespace {

constexpr absl::Duration kMaxTtl = absl::Hours(1);
constexpr int64_t kExactInDouble = int64_t{1} << 53;

bool IsHex(absl::string_view text) {
  return absl::StartsWithIgnoreCase(text, "0x");
}

absl::StatusOr<uint32_t> ParseAddress(const std::string& text) {
  uint32_t address = 0;
  const bool parsed = IsHex(text) ? absl::SimpleHexAtoi(text, &address) : absl::SimpleAtoi(text, &address);
  if (parsed && address <= std::numeric_limits<uint16_t>::max()) return address;
  return absl::InvalidArgumentError(
      absl::StrCat("ADDRESS wants 0 to 65535, as on the wire, decimal or 0x and hex; got '", text, "'"));
}

absl::StatusOr<ModbusFunction> ParseFunction(const std::string& text, bool write) {
  int code = 0;
  const bool is_one = absl::SimpleAtoi(text, &code) && ((code >= 1 && code <= 6) || code == 15 || code == 16);
  if (is_one && IsWrite(static_cast<ModbusFunction>(code)) == write) return static_cast<ModbusFunction>(code);
  const absl::string_view other = !is_one ? "" : write ? "; that one reads" : "; that one writes";
  return absl::InvalidArgumentError(
      absl::StrCat("--fc wants ",
                   write ? "5 or 15 for coils, 6 or 16 for registers"
                         : "1 for coils, 2 for discrete inputs, 3 for holding registers or 4 for input registers",
                   "; got '", text, "'", other));
}

absl::StatusOr<ModbusType> ParseType(const std::string& text) {
  const std::optional<ModbusType> type = ParseModbusType(absl::AsciiStrToUpper(text));
  if (type) return *type;
  return absl::InvalidArgumentError(
      absl::StrCat("--type is ", kModbusTypeNames, "; got '", text, "'",
                   DidYouMean(text, {"U16", "I16", "U32", "I32", "U64", "I64", "F32", "STR"})));
}

// Whole numbers that a double may not hold travel as text.
std::optional<google::protobuf::Value> ParseNumber(const std::string& text) {
  google::protobuf::Value value;
  int64_t whole = 0;
  uint64_t large = 0;
  double real = 0;
  if (absl::SimpleAtoi(text, &whole) && whole >= -kExactInDouble && whole <= kExactInDouble) {
    value.set_number_value(static_cast<double>(whole));
  } else if (absl::SimpleAtoi(text, &whole) || absl::SimpleAtoi(text, &large)) {
    value.set_string_value(text);
  } else if (IsHex(text) && absl::SimpleHexAtoi(text, &large)) {
    return ParseNumber(absl::StrCat(large));
  } else if (!IsHex(text) && absl::SimpleAtod(text, &real) && std::isfinite(real)) {
    value.set_number_value(real);
  } else {
    return std::nullopt;
  }
  return value;
}

std::optional<google::protobuf::Value> ParseBit(const std::string& text) {
  google::protobuf::Value value;
  value.set_bool_value(text == "1" || text == "true");
  return value.bool_value() || text == "0" || text == "false" ? std::make_optional(value) : std::nullopt;
}

// `number`: which of them, from 1.
absl::StatusOr<google::protobuf::Value> ParseValue(const std::string& text, int number, bool bits) {
  std::optional<google::protobuf::Value> value = bits ? ParseBit(text) : ParseNumber(text);
  if (value) return *std::move(value);
  const absl::string_view wants = bits ? "0, 1, true or false" : "a number, or text with --type STR";
  const bool coil = !bits && ParseBit(absl::AsciiStrToLower(text)).has_value();
  return absl::InvalidArgumentError(
      absl::StrCat("VALUE ", number, " wants ", wants, "; got '", text, "'", coil ? "; of a coil with --fc 5" : ""));
}

absl::StatusOr<google::protobuf::Value> ParseText(const std::vector<std::string>& texts) {
  if (texts.size() > 1) return absl::InvalidArgumentError("text is one VALUE; put it between quotation marks");
  google::protobuf::Value value;
  value.set_string_value(texts.front());
  return value;
}

absl::StatusOr<google::protobuf::Value> ParseValues(const std::vector<std::string>& texts, bool bits) {
  google::protobuf::Value values;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(google::protobuf::Value value, ParseValue(text, values.list_value().values_size() + 1, bits));
    if (texts.size() == 1) return value;
    *values.mutable_list_value()->add_values() = std::move(value);
  }
  return values;
}

// What a read and a write have in common; the type only where it is looked at.
absl::StatusOr<ModbusVerb> MakeCall(const Words& words, ModbusFunction function, ModbusType type) {
  ModbusVerb verb;
  ASSIGN_OR_RETURN(verb.device, CheckDevice(words.device));
  if (!IsUnitId(words.unit)) {
    return absl::InvalidArgumentError(absl::StrCat("UNIT wants the id of a unit, 1 to ", kMaxUnitIdBytes,
                                                   " of A-Z a-z 0-9 . _ -; got '", words.unit, "'"));
  }
  v1::ModbusCallRequest& request = verb.request;
  request.set_device_id(words.unit);
  request.set_function_code(static_cast<uint32_t>(function));
  ASSIGN_OR_RETURN(const uint32_t address, ParseAddress(words.address));
  request.set_address(address);
  ASSIGN_OR_RETURN(const absl::Duration ttl, ParsePositive("--ttl", words.ttl, kMaxTtl));
  request.set_ttl_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(ttl)));
  if (IsOfBits(function)) return verb;
  request.set_type(std::string(Name(type)));
  verb.registers_per_value = static_cast<uint32_t>(RegistersOf(type));
  if (words.order != "big" && words.order != "little") {
    return absl::InvalidArgumentError(absl::StrCat("--order of the registers is big or little; got '", words.order, "'",
                                                   DidYouMean(words.order, {"big", "little"})));
  }
  request.set_endianess(words.order);
  if (words.scale.empty()) return verb;
  double scale = 0;
  if (!absl::SimpleAtod(words.scale, &scale) || !std::isfinite(scale)) {
    return absl::InvalidArgumentError(absl::StrCat("--scale wants a number such as 0.1; got '", words.scale, "'"));
  }
  request.set_scale_factor(scale);
  return verb;
}

// What device and server would say of it, before they are asked.
absl::StatusOr<Verb> Checked(ModbusVerb verb) {
  const ParsedModbusRequest parsed = ParseModbusRequest(ToJson(verb.request));
  if (const auto* failure = std::get_if<ModbusFailure>(&parsed.request)) {
    return absl::InvalidArgumentError(failure->message);
  }
  return verb;
}

}  // namespace

absl::StatusOr<Verb> MakeModbusRead(const Words& words) {
  ASSIGN_OR_RETURN(const ModbusFunction function,
                   ParseFunction(words.function.empty() ? "3" : words.function, /*write=*/false));
  ASSIGN_OR_RETURN(const ModbusType type, ParseType(words.register_type));
  ASSIGN_OR_RETURN(ModbusVerb verb, MakeCall(words, function, type));
  if (!words.size.empty()) {
    ASSIGN_OR_RETURN(const int64_t size, ParseWhole("--size", words.size, 1, MaxSize(function)));
    verb.request.set_size(static_cast<uint32_t>(size));
  }
  return Checked(std::move(verb));
}

absl::StatusOr<Verb> MakeModbusWrite(const Words& words) {
  ASSIGN_OR_RETURN(const ModbusType type, ParseType(words.register_type));
  const bool one_register = words.values.size() == 1 && (type == ModbusType::kU16 || type == ModbusType::kI16);
  const std::string code = !words.function.empty() ? words.function : one_register ? "6" : "16";
  ASSIGN_OR_RETURN(const ModbusFunction function, ParseFunction(code, /*write=*/true));
  ASSIGN_OR_RETURN(ModbusVerb verb, MakeCall(words, function, type));
  const bool bits = IsOfBits(function);
  const bool text = !bits && type == ModbusType::kString;
  ASSIGN_OR_RETURN(*verb.request.mutable_values(), text ? ParseText(words.values) : ParseValues(words.values, bits));
  return Checked(std::move(verb));
}

}  // namespace fleet
