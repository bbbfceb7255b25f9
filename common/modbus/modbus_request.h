// A request to a Modbus unit, as it is asked for in JSON (docs/modbus.md): what server, device and operator share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fleet {

// Function codes of the Modbus application protocol V1.1b3, section 6.
enum class ModbusFunction : uint8_t {
  kReadCoils = 1,
  kReadDiscreteInputs = 2,
  kReadHoldingRegisters = 3,
  kReadInputRegisters = 4,
  kWriteCoil = 5,
  kWriteRegister = 6,
  kWriteCoils = 15,
  kWriteRegisters = 16,
};

// What the registers of a value mean. kString: two bytes a register, the high one first.
enum class ModbusType { kU16, kI16, kU32, kI32, kU64, kI64, kF32, kString };

inline constexpr int kMaxReadRegisters = 125;
inline constexpr int kMaxReadBits = 2000;
inline constexpr int kMaxWriteRegisters = 123;
inline constexpr int kMaxWriteBits = 1968;
inline constexpr size_t kMaxModbusRequestBytes = 4096;  // of one that travels as a command
inline constexpr size_t kMaxUnitIdBytes = 64;

constexpr int CodeOf(ModbusFunction function) {
  return static_cast<int>(function);
}
constexpr bool IsWrite(ModbusFunction function) {
  return function >= ModbusFunction::kWriteCoil;
}
// Coils and discrete inputs: one bit each.
constexpr bool IsOfBits(ModbusFunction function) {
  return function == ModbusFunction::kReadCoils || function == ModbusFunction::kReadDiscreteInputs ||
         function == ModbusFunction::kWriteCoil || function == ModbusFunction::kWriteCoils;
}
// Of one value: U32 has 2. Of a kString 1: its length is the request's.
constexpr int RegistersOf(ModbusType type) {
  switch (type) {
    case ModbusType::kU16:
    case ModbusType::kI16:
    case ModbusType::kString:
      return 1;
    case ModbusType::kU32:
    case ModbusType::kI32:
    case ModbusType::kF32:
      return 2;
    case ModbusType::kU64:
    case ModbusType::kI64:
      return 4;
  }
  return 1;
}
absl::string_view Name(ModbusType type);  // "U16", ..., "STR"
std::optional<ModbusType> ParseModbusType(absl::string_view name);
inline constexpr char kModbusTypeNames[] = "U16, I16, U32, I32, U64, I64, F32 or STR";

// Registers or bits of one request.
constexpr int MaxSize(ModbusFunction function) {
  switch (function) {
    case ModbusFunction::kReadCoils:
    case ModbusFunction::kReadDiscreteInputs:
      return kMaxReadBits;
    case ModbusFunction::kReadHoldingRegisters:
    case ModbusFunction::kReadInputRegisters:
      return kMaxReadRegisters;
    case ModbusFunction::kWriteCoil:
    case ModbusFunction::kWriteRegister:
      return 1;
    case ModbusFunction::kWriteCoils:
      return kMaxWriteBits;
    case ModbusFunction::kWriteRegisters:
      return kMaxWriteRegisters;
  }
  return 1;
}

// The name of a unit: 1 to 64 of A-Z a-z 0-9 . _ -
bool IsUnitId(absl::string_view text);

// Exact where it is whole.
using ModbusNumber = std::variant<int64_t, uint64_t, double>;
double ToDouble(const ModbusNumber& number);

struct ModbusRequest {
  std::string device_id;  // of the unit
  ModbusFunction function = ModbusFunction::kReadInputRegisters;
  uint16_t address = 0;  // of the first register or bit, from 0, as on the wire
  uint16_t size = 1;     // registers or bits
  ModbusType type = ModbusType::kU16;
  bool little_endian = false;   // order of the registers of a value; the bytes of one keep theirs
  double scale_factor = 1;      // value = what the registers hold times this; not of kString, not of bits
  std::vector<uint16_t> words;  // of a write: what goes to the registers, or bits as 0 and 1; `size` of them
  std::string values;  // of a write: its values as JSON, a number or text alone or in a list, as they were asked for
};

// Registers or bits of one value.
inline int SizeOfValue(const ModbusRequest& request) {
  return IsOfBits(request.function) ? 1 : RegistersOf(request.type);
}

// Why there is no answer. The words are those of docs/modbus.md.
struct ModbusFailure {
  std::string code;     // a word: bad_request, no_answer, ...
  std::string message;  // for people
};

// What can be said of a request even if it is wrong, and the request or why it is none.
struct ParsedModbusRequest {
  std::string echo = "null";          // the request as it came, if it is a JSON object
  std::string id = "";                // its field "id" as JSON; empty: it has none
  std::optional<absl::Duration> ttl;  // its field "ttl_ms"
  std::variant<ModbusRequest, ModbusFailure> request;
};

}  // namespace fleet
