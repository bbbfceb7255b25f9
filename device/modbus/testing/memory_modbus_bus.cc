#include "device/modbus/testing/memory_modbus_bus.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"

namespace fleet::device {
namespace {

using Outcome = ModbusReply::Outcome;

constexpr uint8_t kBroadcast = 0;
constexpr uint8_t kIllegalDataAddress = 2;
constexpr int kAddresses = 65536;

}  // namespace

class MemoryModbusBus : public ModbusBus {
 public:
  explicit MemoryModbusBus(MemoryModbusUnits& units) : units_(units) {}

  ModbusReply Execute(const ModbusTransaction& transaction, absl::Duration timeout) override {
    const SystemClock clock;
    const MonoTime deadline = clock.Read().mono + timeout;
    MutexLock lock(units_.mu_);
    if (!interrupted_) {
      units_.asked_.push_back(transaction);
      if (std::optional<ModbusReply> reply = units_.Answer(transaction)) return *std::move(reply);
    }
    while (!interrupted_) {
      const absl::Duration left = deadline - clock.Read().mono;
      if (left <= absl::ZeroDuration()) {
        return {.outcome = Outcome::kNoAnswer, .detail = absl::StrCat("unit ", transaction.unit, " does not answer")};
      }
      units_.changed_.WaitFor(units_.mu_, left);
    }
    return {.outcome = Outcome::kInterrupted, .detail = "interrupted"};
  }

  void Interrupt() override {
    MutexLock lock(units_.mu_);
    interrupted_ = true;
    units_.changed_.NotifyAll();
  }

 private:
  MemoryModbusUnits& units_;
  bool interrupted_ = false;  // under the lock of the units
};

std::unique_ptr<ModbusBus> MemoryModbusUnits::Attach() {
  return std::make_unique<MemoryModbusBus>(*this);
}

void MemoryModbusUnits::Add(uint8_t unit) {
  MutexLock lock(mu_);
  units_[unit];
}

void MemoryModbusUnits::Set(uint8_t unit, Manner manner, uint8_t exception) {
  MutexLock lock(mu_);
  units_[unit].manner = manner;
  units_[unit].exception = exception;
}

void MemoryModbusUnits::SetRegister(uint8_t unit, uint16_t address, uint16_t value) {
  MutexLock lock(mu_);
  units_[unit].holding_registers[address] = units_[unit].input_registers[address] = value;
}

uint16_t MemoryModbusUnits::HoldingRegister(uint8_t unit, uint16_t address) const {
  MutexLock lock(mu_);
  return Read(unit, ModbusFunction::kReadHoldingRegisters, address);
}

void MemoryModbusUnits::Disconnect(std::string why) {
  MutexLock lock(mu_);
  broken_ = std::move(why);
}

void MemoryModbusUnits::Connect() {
  MutexLock lock(mu_);
  broken_.reset();
}

std::vector<ModbusTransaction> MemoryModbusUnits::asked() const {
  MutexLock lock(mu_);
  return asked_;
}

std::optional<ModbusReply> MemoryModbusUnits::Answer(const ModbusTransaction& transaction) {
  if (broken_) return ModbusReply{.outcome = Outcome::kNotConnected, .detail = *broken_};
  const bool is_write = IsWrite(transaction.function);
  if (transaction.unit == kBroadcast && is_write) {
    for (const auto& [number, unit] : units_) Write(number, transaction);
    return ModbusReply();
  }
  const auto found = units_.find(transaction.unit);
  if (found == units_.end() || found->second.manner == Manner::kIsSilent) return std::nullopt;
  uint8_t exception = found->second.manner == Manner::kRefuses ? found->second.exception : 0;
  if (found->second.manner == Manner::kAnswersBadly) {
    return ModbusReply{.outcome = Outcome::kBadAnswer, .detail = "the checksum of the answer is wrong"};
  }
  if (exception == 0 && transaction.address + transaction.count > kAddresses) exception = kIllegalDataAddress;
  if (exception != 0) {
    return ModbusReply{.outcome = Outcome::kException,
                       .exception = exception,
                       .detail = absl::StrCat("unit ", transaction.unit, " refuses with exception ", exception)};
  }
  ModbusReply reply;
  if (is_write) {
    Write(transaction.unit, transaction);
    return reply;
  }
  for (int i = 0; i < transaction.count; ++i) {
    reply.words.push_back(Read(transaction.unit, transaction.function, static_cast<uint16_t>(transaction.address + i)));
  }
  return reply;
}

uint16_t MemoryModbusUnits::Read(uint8_t unit, ModbusFunction function, uint16_t address) const {
  const Unit& of = units_.at(unit);
  const auto& changed = function == ModbusFunction::kReadCoils              ? of.coils
                        : function == ModbusFunction::kReadHoldingRegisters ? of.holding_registers
                                                                            : of.input_registers;
  const auto found = changed.find(address);
  if (function == ModbusFunction::kReadDiscreteInputs || (IsOfBits(function) && found == changed.end())) {
    return static_cast<uint16_t>((unit + address) % 2);
  }
  return found != changed.end() ? found->second : static_cast<uint16_t>(unit * 1000 + address);
}

void MemoryModbusUnits::Write(uint8_t unit, const ModbusTransaction& write) {
  Unit& of = units_[unit];
  for (size_t i = 0; i < write.words.size(); ++i) {
    const auto address = static_cast<uint16_t>(write.address + i);
    if (IsOfBits(write.function)) {
      of.coils[address] = write.words[i] != 0 ? 1 : 0;
    } else {
      of.holding_registers[address] = write.words[i];
    }
  }
}

}  // namespace fleet::device
