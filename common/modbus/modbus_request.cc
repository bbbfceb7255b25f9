#include "common/modbus/modbus_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"

namespace fleet {
namespace {

constexpr std::array<std::pair<absl::string_view, ModbusType>, 8> kTypes = {{{"U16", ModbusType::kU16},
                                                                             {"I16", ModbusType::kI16},
                                                                             {"U32", ModbusType::kU32},
                                                                             {"I32", ModbusType::kI32},
                                                                             {"U64", ModbusType::kU64},
                                                                             {"I64", ModbusType::kI64},
                                                                             {"F32", ModbusType::kF32},
                                                                             {"STR", ModbusType::kString}}};

}  // namespace

absl::string_view Name(ModbusType type) {
  return std::ranges::find(kTypes, type, &decltype(kTypes)::value_type::second)->first;
}

std::optional<ModbusType> ParseModbusType(absl::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &decltype(kTypes)::value_type::first);
  return found == kTypes.end() ? std::nullopt : std::make_optional(found->second);
}

bool IsUnitId(absl::string_view text) {
  const auto fits = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxUnitIdBytes && std::ranges::all_of(text, fits);
}

double ToDouble(const ModbusNumber& number) {
  return std::visit([](auto value) { return static_cast<double>(value); }, number);
}

}  // namespace fleet
