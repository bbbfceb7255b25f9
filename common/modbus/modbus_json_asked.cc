#include <utility>

#include "absl/status/statusor.h"
#include "common/json_text.h"
#include "common/modbus/modbus_json.h"

namespace fleet {
namespace {

using nlohmann::json;

std::string TextOf(const json& value) {
  return value.is_string() ? value.get<std::string>() : DumpJson(value);
}

}  // namespace

std::variant<AskedModbus, ModbusFailure> ParseAskedModbus(absl::string_view text) {
  absl::StatusOr<json> object = ParseJson(text);
  if (!object.ok()) return ModbusFailure{.code = "not_json", .message = std::string(object.status().message())};
  const bool said = object->is_object() && object->contains("by");
  if (!said) return AskedModbus{.request = std::string(text), .by = ""};
  const json by = std::move((*object)["by"]);
  object->erase("by");
  if (by.is_string()) return AskedModbus{.request = DumpJson(*object), .by = by.get<std::string>()};
  return ModbusFailure{.code = "bad_request", .message = "\"by\": not text"};
}

bool IsJsonObject(absl::string_view text) {
  const absl::StatusOr<json> value = ParseJson(text);
  return value.ok() && value->is_object();
}

std::optional<std::vector<std::string>> ModbusValueTexts(absl::string_view response) {
  const absl::StatusOr<json> object = ParseJson(response);
  if (!object.ok() || !object->is_object()) return std::nullopt;
  const auto read = object->find("value");
  const auto found = read == object->end() ? object->find("values") : read;
  if (found == object->end()) return std::nullopt;
  if (!found->is_array()) return std::vector<std::string>{TextOf(*found)};
  std::vector<std::string> values;
  for (const json& value : *found) values.push_back(TextOf(value));
  return values;
}

}  // namespace fleet
