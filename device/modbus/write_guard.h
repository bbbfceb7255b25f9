// What may be written to Modbus units by somebody who is not on this device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/modbus/modbus_request.h"
#include "device/modbus/modbus_plan.h"

namespace fleet::device {

// Judges writes by register, range and rate, each as a whole. It looks at the registers that would be written and never
// at what the request says of them: no scale, type or order can take a value past its bounds. Every register has to be
// covered by a rule, and every value of more than one register has to be written whole. What it refuses is a policy
// violation, and counted. Pure; loop thread only.
class WriteGuard {
 public:
  explicit WriteGuard(std::vector<ModbusWriteRule> rules);

  // `write`: a sound one, of a function that writes. kPermissionDenied: a register or a value that is not allowed,
  // named; kResourceExhausted: too soon after the last write. Neither takes from the rate. Before it waits for its turn
  // a write is looked at only: it takes from the rate when it goes out.
  absl::Status Look(size_t unit, const ModbusRequest& write, MonoTime now);
  absl::Status Judge(size_t unit, const ModbusRequest& write, MonoTime now);
  // Whether a rule that covers any of it wants it read again.
  bool WantsReadBack(size_t unit, const ModbusRequest& write) const;

  uint64_t refused() const { return refused_; }

 private:
  struct Rule {
    ModbusWriteRule rule;
    double tokens = 1;  // at most one: there are no bursts
    MonoTime filled;
  };

  absl::Status Check(size_t unit, const ModbusRequest& write) const;
  // The rules that the write touches, each with a token to take.
  absl::StatusOr<std::vector<Rule*>> FindTokens(size_t unit, const ModbusRequest& write, MonoTime now);

  std::vector<Rule> rules_;
  uint64_t refused_ = 0;
};

}  // namespace fleet::device
