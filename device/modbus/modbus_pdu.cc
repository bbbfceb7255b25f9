#include "device/modbus/modbus_pdu.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

constexpr uint8_t kRefused = 0x80;         // added to the function code of an exception
constexpr uint16_t kCoilOn = 0xFF00;       // of function 5
constexpr size_t kHeaderBytes = 1 + 1;     // unit, function
constexpr size_t kExceptionBytes = 2 + 1;  // and its number
constexpr size_t kEchoBytes = 2 + 2 + 2;   // and address, count or value

void AppendWord(uint16_t word, std::vector<uint8_t>& bytes) {
  bytes.push_back(static_cast<uint8_t>(word >> 8));
  bytes.push_back(static_cast<uint8_t>(word & 0xFF));
}

uint16_t WordAt(absl::Span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

size_t BytesOfBits(size_t count) {
  return (count + 7) / 8;
}

size_t DataBytes(const ModbusTransaction& transaction) {
  return IsOfBits(transaction.function) ? BytesOfBits(transaction.count) : size_t{2} * transaction.count;
}

void AppendData(const ModbusTransaction& transaction, std::vector<uint8_t>& bytes) {
  bytes.push_back(static_cast<uint8_t>(DataBytes(transaction)));
  if (!IsOfBits(transaction.function)) {
    for (const uint16_t word : transaction.words) AppendWord(word, bytes);
    return;
  }
  const size_t start = bytes.size();
  bytes.resize(start + DataBytes(transaction));
  for (size_t i = 0; i < transaction.words.size(); ++i) {
    if (transaction.words[i] != 0) bytes[start + i / 8] |= static_cast<uint8_t>(1 << i % 8);
  }
}

// The word after the address: how many, or what is written. It comes back from a write.
uint16_t SecondWord(const ModbusTransaction& transaction) {
  switch (transaction.function) {
    case ModbusFunction::kWriteCoil:
      return transaction.words[0] != 0 ? kCoilOn : 0;
    case ModbusFunction::kWriteRegister:
      return transaction.words[0];
    default:
      return transaction.count;
  }
}

ModbusReply Bad(std::string detail) {
  return {.outcome = ModbusReply::Outcome::kBadAnswer, .detail = std::move(detail)};
}

ModbusReply ReadData(const ModbusTransaction& transaction, absl::Span<const uint8_t> data) {
  ModbusReply reply;
  reply.words.reserve(transaction.count);
  for (size_t i = 0; i < transaction.count; ++i) {
    reply.words.push_back(IsOfBits(transaction.function) ? data[i / 8] >> i % 8 & 1 : WordAt(data, 2 * i));
  }
  return reply;
}

}  // namespace

std::vector<uint8_t> ModbusRequestBytes(const ModbusTransaction& transaction) {
  std::vector<uint8_t> bytes = {transaction.unit, static_cast<uint8_t>(transaction.function)};
  AppendWord(transaction.address, bytes);
  AppendWord(SecondWord(transaction), bytes);
  if (transaction.function == ModbusFunction::kWriteCoils || transaction.function == ModbusFunction::kWriteRegisters) {
    AppendData(transaction, bytes);
  }
  return bytes;
}

ModbusReply ReadModbusAnswer(const ModbusTransaction& transaction, absl::Span<const uint8_t> answer) {
  const int unit = transaction.unit;
  const uint8_t function = static_cast<uint8_t>(transaction.function);
  if (answer.size() < kExceptionBytes) return Bad(absl::StrCat("the answer of unit ", unit, " is too short"));
  if (answer[0] != transaction.unit) return Bad(absl::StrCat("unit ", answer[0], " answered instead of ", unit));
  if (answer[1] == (function | kRefused) && answer.size() == kExceptionBytes) {
    return {.outcome = ModbusReply::Outcome::kException,
            .exception = answer[2],
            .detail = absl::StrCat("unit ", unit, " refuses function ", function, " with exception ", answer[2])};
  }
  if (answer[1] != function) {
    return Bad(absl::StrCat("unit ", unit, " answered function ", answer[1], " instead of ", function));
  }
  if (answer.size() != ModbusAnswerSize(transaction)) {
    return Bad(absl::StrCat("the answer of unit ", unit, " has ", answer.size(), " bytes instead of ",
                            ModbusAnswerSize(transaction)));
  }
  if (!IsWrite(transaction.function)) {
    if (answer[2] != DataBytes(transaction)) return Bad(absl::StrCat("unit ", unit, " answered with another count"));
    return ReadData(transaction, answer.subspan(kExceptionBytes));
  }
  if (WordAt(answer, 2) != transaction.address || WordAt(answer, 4) != SecondWord(transaction)) {
    return Bad(absl::StrCat("unit ", unit, " confirms another write than was asked for"));
  }
  return {};
}

size_t ModbusAnswerSize(const ModbusTransaction& transaction) {
  return IsWrite(transaction.function) ? kEchoBytes : kHeaderBytes + 1 + DataBytes(transaction);
}

}  // namespace fleet::device
