// The configuration of Modbus, understood: buses, the units on them, what is read regularly, what may be written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/modbus/modbus_request.h"
#include "device/signals/signal_book.h"

namespace fleet::v1 {
class ModbusConfig;
}

namespace fleet::device {

inline constexpr size_t kMaxModbusBuses = 16;
inline constexpr size_t kMaxModbusUnits = 256;
inline constexpr size_t kMaxModbusPolls = 4096;
inline constexpr size_t kMaxModbusWriteRules = 1024;
inline constexpr absl::Duration kWebTimeout = absl::Seconds(10);

enum class ModbusKind { kRtu, kTcp, kWeb };

struct ModbusBusPlan {
  std::string name;
  ModbusKind kind = ModbusKind::kTcp;
  std::string host;   // kTcp, kWeb: name or address; kRtu: the path of the serial device
  int port = 502;     // kTcp, kWeb
  int baud = 19200;   // these three of kRtu
  char parity = 'E';  // E, O or N
  int stop_bits = 1;
  absl::Duration timeout = absl::Milliseconds(500);  // kWeb: kWebTimeout
  int in_flight = 1;                                 // 1 to 8; kRtu: 1
};

// Other parts know a bus by its index in ModbusPlan::buses, and a unit likewise.
struct ModbusUnitPlan {
  std::string id;  // "*": all others, of a kWeb bus only
  size_t bus = 0;
  uint8_t address = 1;
  uint16_t join_gap = 0;
};

struct ModbusPollPlan {
  size_t unit = 0;
  ModbusFunction function = ModbusFunction::kReadHoldingRegisters;  // a reading one
  uint16_t address = 0;
  ModbusType type = ModbusType::kU16;  // not kString: telemetry is numbers
  bool little_endian = false;
  double scale_factor = 1;
  absl::Duration period;
  size_t signal = 0;  // index into ModbusPlan::signals

  // Registers, or bits.
  int size() const { return IsOfBits(function) ? 1 : RegistersOf(type); }
};

struct ModbusWriteRule {
  size_t unit = 0;
  bool coils = false;  // else holding registers
  uint16_t first = 0;
  uint16_t last = 0;  // included
  ModbusType type = ModbusType::kU16;
  bool little_endian = false;
  std::optional<ModbusNumber> min;  // both of what the registers hold, before any scale
  std::optional<ModbusNumber> max;
  double rate_hz = 1;
  bool read_back = false;

  // Registers or coils of one value; `first` is where one begins.
  int step() const { return coils ? 1 : RegistersOf(type); }
};

struct ModbusPlan {
  std::vector<ModbusBusPlan> buses;  // empty: this device has no Modbus
  std::vector<ModbusUnitPlan> units;
  std::vector<ModbusPollPlan> polls;
  std::vector<SignalOptions> signals;  // of a SignalBook
  std::vector<ModbusWriteRule> writes;
  absl::Duration state_period;  // zero: no gateway_state
  std::string alias;            // base of a second set of topics; empty: none
};

// kInvalidArgument: "WHERE: what is wrong", with the nearest name where one that does not exist was probably meant, as
// MakeCanPlan has it: `modbus.poll 3 (meter/power): unit: ...`. `taken`: topics of other signals of this device.
absl::StatusOr<ModbusPlan> MakeModbusPlan(const v1::ModbusConfig& config, const std::vector<std::string>& taken);

}  // namespace fleet::device
