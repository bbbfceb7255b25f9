#include "device/modbus/modbus_pdu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleet::device {
namespace {

using Outcome = ModbusReply::Outcome;
using testing::ElementsAre;
using Bytes = std::vector<uint8_t>;

ModbusTransaction Read(ModbusFunction function, uint16_t count) {
  return {.unit = 7, .function = function, .address = 0x1234, .count = count};
}
ModbusTransaction Write(ModbusFunction function, std::vector<uint16_t> words) {
  const auto count = static_cast<uint16_t>(words.size());
  return {.unit = 7, .function = function, .address = 0x1234, .count = count, .words = std::move(words)};
}

TEST(ModbusPdu, RequestsAreAsTheStandardHasThem) {
  EXPECT_EQ(ModbusRequestBytes(Read(ModbusFunction::kReadCoils, 2000)), (Bytes{7, 1, 0x12, 0x34, 0x07, 0xD0}));
  EXPECT_EQ(ModbusRequestBytes(Read(ModbusFunction::kReadInputRegisters, 1)), (Bytes{7, 4, 0x12, 0x34, 0, 1}));
  EXPECT_EQ(ModbusRequestBytes(Write(ModbusFunction::kWriteCoil, {1})), (Bytes{7, 5, 0x12, 0x34, 0xFF, 0}));
  EXPECT_EQ(ModbusRequestBytes(Write(ModbusFunction::kWriteCoil, {0})), (Bytes{7, 5, 0x12, 0x34, 0, 0}));
  EXPECT_EQ(ModbusRequestBytes(Write(ModbusFunction::kWriteRegister, {0xABCD})), (Bytes{7, 6, 0x12, 0x34, 0xAB, 0xCD}));
  // Ten coils of section 6.11: CD 01.
  EXPECT_EQ(ModbusRequestBytes(Write(ModbusFunction::kWriteCoils, {1, 0, 1, 1, 0, 0, 1, 1, 1, 0})),
            (Bytes{7, 15, 0x12, 0x34, 0, 10, 2, 0xCD, 0x01}));
  EXPECT_EQ(ModbusRequestBytes(Write(ModbusFunction::kWriteRegisters, {0x000A, 0x0102})),
            (Bytes{7, 16, 0x12, 0x34, 0, 2, 4, 0, 0x0A, 1, 2}));
}

TEST(ModbusPdu, ReadsRegistersAndBits) {
  EXPECT_THAT(ReadModbusAnswer(Read(ModbusFunction::kReadHoldingRegisters, 2), Bytes{7, 3, 4, 0xAB, 0xCD, 0, 1}).words,
              ElementsAre(0xABCD, 1));
  EXPECT_THAT(ReadModbusAnswer(Read(ModbusFunction::kReadCoils, 10), Bytes{7, 1, 2, 0xCD, 0xFF}).words,
              ElementsAre(1, 0, 1, 1, 0, 0, 1, 1, 1, 1));
}

TEST(ModbusPdu, AnyNumberIsAnException) {
  for (const uint8_t number : {1, 4, 11, 12, 255}) {
    const ModbusReply reply = ReadModbusAnswer(Write(ModbusFunction::kWriteRegisters, {1}), Bytes{7, 0x90, number});
    EXPECT_EQ(reply.outcome, Outcome::kException);
    EXPECT_EQ(reply.exception, number);
  }
}

TEST(ModbusPdu, WhatAnswersSomethingElseIsABadAnswer) {
  const struct {
    const char* what;
    ModbusTransaction asked;
    Bytes answer;
  } cases[] = {
      {"nothing", Read(ModbusFunction::kReadCoils, 1), {}},
      {"too short", Read(ModbusFunction::kReadCoils, 1), {7, 1}},
      {"another unit", Read(ModbusFunction::kReadCoils, 1), {8, 1, 1, 0}},
      {"another function", Read(ModbusFunction::kReadCoils, 1), {7, 2, 1, 0}},
      {"exception of another function", Read(ModbusFunction::kReadCoils, 1), {7, 0x82, 1}},
      {"too long for an exception", Read(ModbusFunction::kReadCoils, 1), {7, 0x81, 1, 0}},
      {"fewer registers", Read(ModbusFunction::kReadHoldingRegisters, 2), {7, 3, 2, 0, 1}},
      {"more registers", Read(ModbusFunction::kReadHoldingRegisters, 1), {7, 3, 4, 0, 1, 0, 2}},
      {"wrong count of bytes", Read(ModbusFunction::kReadHoldingRegisters, 1), {7, 3, 4, 0, 1}},
      {"another address", Write(ModbusFunction::kWriteRegister, {5}), {7, 6, 0x12, 0x35, 0, 5}},
      {"another value", Write(ModbusFunction::kWriteRegister, {5}), {7, 6, 0x12, 0x34, 0, 6}},
      {"another count", Write(ModbusFunction::kWriteRegisters, {5, 6}), {7, 16, 0x12, 0x34, 0, 1}},
      {"cut off", Write(ModbusFunction::kWriteRegisters, {5, 6}), {7, 16, 0x12, 0x34, 0}},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(ReadModbusAnswer(one.asked, one.answer).outcome, Outcome::kBadAnswer) << one.what;
  }
}

TEST(ModbusPdu, ConfirmationOfAWriteIsItsEcho) {
  EXPECT_EQ(ReadModbusAnswer(Write(ModbusFunction::kWriteCoil, {1}), Bytes{7, 5, 0x12, 0x34, 0xFF, 0}).outcome,
            Outcome::kDone);
  EXPECT_EQ(ReadModbusAnswer(Write(ModbusFunction::kWriteCoils, {1, 0}), Bytes{7, 15, 0x12, 0x34, 0, 2}).outcome,
            Outcome::kDone);
}

}  // namespace
}  // namespace fleet::device
