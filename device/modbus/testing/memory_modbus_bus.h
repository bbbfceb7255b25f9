// Modbus without a wire: units in one process, and whatever may happen to them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/mutex.h"
#include "device/modbus/modbus_bus.h"

namespace fleet::device {

class MemoryModbusBus;

// The units. Any thread; outlives the buses that are attached to it. As pymodbus_server.py has them: at first register
// A of unit U holds U * 1000 + A, and bit A is (U + A) % 2; holding and input registers are two, and so are coils and
// discrete inputs. A unit that was not added is silent.
class MemoryModbusUnits {
 public:
  enum class Manner { kAnswers, kIsSilent, kAnswersBadly, kRefuses };

  // A line to them, or one of several connections.
  std::unique_ptr<ModbusBus> Attach();

  void Add(uint8_t unit);
  // From the next transaction on. `exception`: of kRefuses.
  void Set(uint8_t unit, Manner manner, uint8_t exception = 0);
  void SetRegister(uint8_t unit, uint16_t address, uint16_t value);  // both of this number
  uint16_t HoldingRegister(uint8_t unit, uint16_t address) const;

  void Disconnect(std::string why);  // all buses, until Connect
  void Connect();

  // All that was asked since the beginning, in order: also what came to nothing.
  std::vector<ModbusTransaction> asked() const;

 private:
  friend class MemoryModbusBus;

  struct Unit {
    Manner manner = Manner::kAnswers;
    uint8_t exception = 0;
    // Only what is not as at first.
    std::map<uint16_t, uint16_t> holding_registers, input_registers, coils;
  };

  uint16_t Read(uint8_t unit, ModbusFunction function, uint16_t address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Write(uint8_t unit, const ModbusTransaction& write) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // nullopt: nobody says anything.
  std::optional<ModbusReply> Answer(const ModbusTransaction& transaction) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  CondVar changed_;
  std::map<uint8_t, Unit> units_ ABSL_GUARDED_BY(mu_);
  std::optional<std::string> broken_ ABSL_GUARDED_BY(mu_);  // why there is no connection
  std::vector<ModbusTransaction> asked_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fleet::device
