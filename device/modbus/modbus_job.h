// What the hub has a bus do, and what comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/time/time.h"
#include "device/modbus/modbus_bus.h"

namespace fleet::device {

// GET of a web bridge.
struct WebCall {
  std::string target;  // path and query: /api/inverter/modbus?device_id=...
};
struct WebReply {
  int status = 0;          // 0: there was no answer
  bool timed_out = false;  // that is why
  bool was_sent = false;   // there was a connection, so it may have been done all the same
  std::string body;        // at most 64 KiB
  std::string detail;      // for people, when there was no answer
};

struct ModbusJob {
  uint64_t number = 0;
  std::variant<ModbusTransaction, WebCall> call;
  absl::Duration timeout;
};
struct ModbusDone {
  size_t bus = 0;  // of the plan
  uint64_t number = 0;
  std::variant<ModbusReply, WebReply> reply;
  absl::Duration took;
};

}  // namespace fleet::device
