// What a transaction is on the wire, without the frame around it: unit, function code, data (Modbus application
// protocol V1.1b3, section 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "device/modbus/modbus_bus.h"

namespace fleet::device {

std::vector<uint8_t> ModbusRequestBytes(const ModbusTransaction& transaction);

// `answer`: from the unit on. kDone, kException, or kBadAnswer: it does not answer this transaction.
ModbusReply ReadModbusAnswer(const ModbusTransaction& transaction, absl::Span<const uint8_t> answer);

// Bytes of the answer of a unit that does as it is asked, from the unit on.
size_t ModbusAnswerSize(const ModbusTransaction& transaction);

}  // namespace fleet::device
