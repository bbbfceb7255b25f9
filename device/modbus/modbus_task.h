// Something that a Modbus unit is asked for, from the moment that it is accepted until its answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "common/modbus/modbus_request.h"
#include "device/modbus/modbus_job.h"
#include "device/modbus/modbus_line.h"
#include "device/modbus/modbus_plan.h"

namespace fleet::device {

// Who asks.
struct AskedInJson {
  ParsedModbusRequest head;  // all but the request
  bool by_alias = false;     // and is answered there
};
struct AskedByCommand {
  CommandId command{};
  std::string by;
};
struct AskedByPoll {
  size_t block = 0;  // of the poller
};
struct AskedForState {};  // of the web bridge itself, for gateway_state

struct ModbusTask {
  size_t bus = 0;
  size_t unit = 0;  // nothing of AskedForState
  ModbusRequest request;
  std::variant<AskedInJson, AskedByCommand, AskedByPoll, AskedForState> origin;
  MonoTime not_after = MonoTime::Max();  // never begun after it
  bool wants_read_back = false;          // of a write
  bool is_read_back = false;             // the write is done, now it is read again
  bool has_begun = false;                // it is on the bus
  std::string written;                   // `response` of a bridge to the write that is read back

  bool is_poll() const { return std::holds_alternative<AskedByPoll>(origin); }
  ModbusLine::Kind kind() const {
    if (std::holds_alternative<AskedByCommand>(origin)) return ModbusLine::Kind::kCommand;
    return is_poll() ? ModbusLine::Kind::kPoll : ModbusLine::Kind::kRequest;
  }
  bool is_for_state() const { return std::holds_alternative<AskedForState>(origin); }
};

// What became of it: the registers of a read, or bits (empty of a write); what a web bridge said, as `response`; or why
// nothing.
struct ModbusWords {
  std::vector<uint16_t> words;
};
struct ModbusSaid {
  std::string response;
  std::string body;  // as it came
};
using ModbusResult = std::variant<ModbusWords, ModbusSaid, ModbusFailure>;

// The job of a task, and what its reply means.
ModbusJob JobOf(const ModbusTask& task, uint64_t number, const ModbusBusPlan& bus, const ModbusUnitPlan& unit);
ModbusResult ResultOf(const ModbusTask& task, const std::variant<ModbusReply, WebReply>& reply);
// Whether the unit itself spoke: an exception is an answer too.
bool IsAnswer(const std::variant<ModbusReply, WebReply>& reply);
// Of a write that was read back: the result of the write, or why it has failed.
ModbusResult ReadBackResult(const ModbusTask& task, const ModbusResult& read);
// The object `response` of an answer.
std::string ResponseOf(const ModbusTask& task, const ModbusResult& result);
// "holding 33207 = hex 00AA", for events: what went to the registers, whatever scale and type it was asked for in.
std::string WriteText(const ModbusRequest& write);

}  // namespace fleet::device
