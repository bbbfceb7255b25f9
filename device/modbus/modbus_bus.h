// A Modbus line or server, as everything else sees it. Implemented by LibmodbusBus and, for tests, by MemoryModbusBus;
// both pass modbus_bus_contract_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/modbus/modbus_request.h"

namespace fleet::device {

// One exchange on the wire.
struct ModbusTransaction {
  uint8_t unit = 1;  // 0: broadcast on a serial line, which has no answer
  ModbusFunction function = ModbusFunction::kReadHoldingRegisters;
  uint16_t address = 0;
  uint16_t count = 1;                    // registers or bits, within the bounds of modbus_request.h
  std::vector<uint16_t> words;           // of a write: `count` registers, or bits as 0 and 1
  MonoTime not_after = MonoTime::Max();  // not sent later, however long it took to connect
};

struct ModbusReply {
  enum class Outcome {
    kDone,
    kException,     // the unit refuses: `exception`
    kNoAnswer,      // nothing came in time
    kBadAnswer,     // something that is no answer to this: wrong checksum, unit, function or length, or a part
    kNotConnected,  // the line cannot be opened, the server does not take the connection or has closed it
    kTooLate,       // not_after was over before it was sent
    kInterrupted,
  };
  Outcome outcome = Outcome::kDone;
  uint8_t exception = 0;  // 1 illegal function, 2 illegal data address, 3 illegal data value, 4 device failure, ...
  std::vector<uint16_t> words;  // of a read that is done: `count` registers, or bits as 0 and 1
  std::string detail;           // for people, unless done
  bool was_sent = false;        // unless done: a write may have been done all the same
};

class ModbusBus {
 public:
  virtual ~ModbusBus() = default;

  // Connects when it is not, and blocks until there is a reply: for about `timeout` to connect and again for the
  // answer. On a serial line the time that the bytes take comes on top. One call at a time. After a call without a good
  // answer nothing of it can be taken for the answer to the next one: a connection is made anew; before the next
  // request a serial line is silent for a while, and for `timeout` before one to the unit that did not answer.
  virtual ModbusReply Execute(const ModbusTransaction& transaction, absl::Duration timeout) = 0;

  // Any thread. What runs ends soon with kInterrupted, and so does all that follows.
  virtual void Interrupt() = 0;
};

}  // namespace fleet::device
