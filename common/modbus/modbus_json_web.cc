// What is said to a web bridge and what it says, of modbus_json.h.
#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/json_text.h"
#include "common/modbus/modbus_json.h"
#include "common/modbus/modbus_values.h"

namespace fleet {
namespace {

using nlohmann::json;

std::string UrlEncoded(absl::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || absl::StrContains("-._~", c)) {
      encoded += c;
    } else {
      absl::StrAppend(&encoded, "%", absl::AsciiStrToUpper(absl::StrCat(absl::Hex(byte, absl::kZeroPad2))));
    }
  }
  return encoded;
}

// 1, not 1.0.
std::string UrlNumber(const ModbusNumber& number) {
  const std::string text = std::visit([](auto value) { return DumpJson(value); }, number);
  return UrlEncoded(absl::StripSuffix(text, ".0"));
}

// The bridge is told neither scale nor order of a write, and how it fills up a text is not known: what it is given are
// the very registers that were judged. Values that the bridge would write otherwise go as single registers.
std::string WebValues(const ModbusRequest& request) {
  ModbusRequest raw = request;
  raw.scale_factor = 1;
  const bool swaps = raw.little_endian && RegistersOf(raw.type) > 1;
  if (IsOfBits(raw.function) || swaps || raw.type == ModbusType::kString) raw.type = ModbusType::kU16;
  const std::string values =
      absl::StrJoin(NumbersOf(raw, raw.words), ",",
                    [](std::string* out, const ModbusNumber& number) { absl::StrAppend(out, UrlNumber(number)); });
  return absl::StrCat("&values=", values, "&type=", Name(raw.type));
}

// The words of the bridge: its text, or what it says in the fields that servers use for it.
std::string WordsOf(absl::string_view body) {
  const absl::StatusOr<json> value = ParseJson(body);
  if (value.ok() && value->is_object()) {
    for (const char* key : {"error", "message", "detail"}) {
      const json* field = FindField(*value, key);
      if (field != nullptr && field->is_string()) return ForeignWords(field->get_ref<const std::string&>());
    }
  }
  return ForeignWords(body);
}

bool SaysNo(const json& answer) {
  const auto success = answer.find("success");
  return success != answer.end() && *success != true;
}

}  // namespace

std::string ModbusWebTarget(const ModbusRequest& request) {
  const std::string device = absl::StrCat("/api/inverter/modbus?device_id=", UrlEncoded(request.device_id));
  const int code = CodeOf(request.function);
  if (IsWrite(request.function))
    return absl::StrCat(device, "&address=", request.address, "&function_code=", code, WebValues(request));
  return absl::StrCat(device, "&function_code=", code, "&address=", request.address, "&size=", request.size,
                      "&type=", Name(request.type), "&endianess=", request.little_endian ? "little" : "big",
                      "&scale_factor=", UrlNumber(request.scale_factor));
}

std::variant<std::string, ModbusFailure> ModbusWebAnswer(const ModbusRequest& request, int status,
                                                         absl::string_view body) {
  if (status == 400 || status == 404) return ModbusFailure{"bridge_refused", WordsOf(body)};
  if (status != 200)
    return ModbusFailure{"bridge_failed", absl::StrCat("the web bridge answered with status ", status)};
  absl::StatusOr<json> answer = ParseJson(body);
  if (!answer.ok())
    return ModbusFailure{"bridge_failed", absl::StrCat("the answer of the web bridge: ", answer.status().message())};
  if (!answer->is_object()) return ModbusFailure{"bridge_failed", "the answer of the web bridge is no JSON object"};
  if (IsWrite(request.function)) {
    if (!answer->contains("success") || SaysNo(*answer))
      return ModbusFailure{"write_failed", "the web bridge does not say that it has written"};
  } else if (FindField(*answer, "value") == nullptr || SaysNo(*answer)) {
    return ModbusFailure{"read_failed", "the web bridge has no value"};
  }
  (*answer)["success"] = true;
  return DumpJson(*answer);
}

std::optional<std::vector<uint16_t>> ModbusWebWords(absl::string_view body, size_t count) {
  const absl::StatusOr<json> answer = ParseJson(body);
  if (!answer.ok() || !answer->is_object()) return std::nullopt;
  const json* field = FindField(*answer, "raw_value");
  if (field == nullptr || !field->is_string()) return std::nullopt;
  const std::string raw = absl::StrReplaceAll(field->get<std::string>(), {{" ", ""}});
  const absl::string_view hex = absl::StripPrefix(absl::StripPrefix(raw, "0x"), "0X");
  if (hex.size() / 4 < count) return std::nullopt;
  std::vector<uint16_t> words;
  for (size_t i = 0; i < count; ++i) {
    uint32_t word = 0;
    const absl::string_view digits = hex.substr(4 * i, 4);
    if (!std::ranges::all_of(digits, absl::ascii_isxdigit) || !absl::SimpleHexAtoi(digits, &word)) return std::nullopt;
    words.push_back(static_cast<uint16_t>(word));
  }
  return words;
}

}  // namespace fleet
