// Values and the registers that hold them.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/modbus/modbus_request.h"

namespace fleet {

// `words`: RegistersOf(type) of them; type is not kString. What they hold, unscaled.
ModbusNumber NumberOf(const uint16_t* words, ModbusType type, bool little_endian);
// Times `scale`: whole where both are and 64 bits hold it; for a scale such as 0.1 the double next to the decimal
// number.
ModbusNumber Scaled(const ModbusNumber& number, double scale);
// Exact, of whole numbers beyond 2^53 too. NaN is in no order.
std::partial_ordering Compare(const ModbusNumber& left, const ModbusNumber& right);
// All values of `words`, scaled; of bits 0 and 1. Not of kString. What is too little for a value at the end is left
// out.
std::vector<ModbusNumber> NumbersOf(const ModbusRequest& request, const std::vector<uint16_t>& words);
// Of kString: two characters a register, without NULs.
std::string TextOf(const std::vector<uint16_t>& words);

// Appends the registers that hold `value`, which is divided by `scale` and rounded unless the type is kF32; not of
// kString. kOutOfRange: it does not fit; `words` are as they were.
absl::Status AppendRegisters(const ModbusNumber& value, ModbusType type, bool little_endian, double scale,
                             std::vector<uint16_t>& words);
// `size` registers, filled up with NULs; 0: as many as it takes. kOutOfRange: it does not fit.
absl::StatusOr<std::vector<uint16_t>> RegistersOfText(absl::string_view text, size_t size);

}  // namespace fleet
