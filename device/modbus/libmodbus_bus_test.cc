// What a well-behaved peer does not do. See also modbus_bus_contract_test.cc.
#include "device/modbus/libmodbus_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/can/testing/serial_end.h"
#include "common/testing/tcp_peer.h"
#include "common/testing/temp_dir.h"
#include "device/modbus/modbus_pdu.h"

namespace fleet::device {
namespace {

using Outcome = ModbusReply::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kShort = absl::Milliseconds(100);
constexpr ModbusFunction kRead = ModbusFunction::kReadHoldingRegisters;
constexpr size_t kMbapBytes = 6;
constexpr size_t kReadBytes = 6;  // unit, function, address, count

ModbusTransaction ReadOf(uint8_t unit) {
  return {.unit = unit, .function = kRead, .address = 5};
}
ModbusTransaction WriteOf(uint8_t unit) {
  return {.unit = unit, .function = ModbusFunction::kWriteRegister, .address = 5, .words = {7}};
}
std::string Asked(const ModbusTransaction& transaction) {
  const std::vector<uint8_t> bytes = ModbusRequestBytes(transaction);
  return {bytes.begin(), bytes.end()};
}
// The answer of `unit` to ReadOf.
std::string Answer(uint8_t unit, uint8_t value) {
  return {static_cast<char>(unit), 3, 2, 0, static_cast<char>(value)};
}

std::future<ModbusReply> Start(ModbusBus& bus, const ModbusTransaction& transaction,
                               absl::Duration timeout = kPatience) {
  return std::async(std::launch::async, [&bus, transaction, timeout] { return bus.Execute(transaction, timeout); });
}

// ---- TCP

std::string Mbap(absl::string_view answer) {
  return std::string("\0\0\0\0\0", 5) + static_cast<char>(answer.size()) + std::string(answer);
}

class LibmodbusTcp : public testing::Test {
 protected:
  TcpPeerConnection Take() { return peer_.Accept(); }
  // Takes the request, which has to be this one.
  void Hear(TcpPeerConnection& connection, const ModbusTransaction& transaction) {
    EXPECT_EQ(connection.Read(kMbapBytes + kReadBytes), Mbap(Asked(transaction)));
  }
  // A connection over which one exchange has gone well.
  TcpPeerConnection Used() {
    auto reply = Start(*bus_, ReadOf(1));
    TcpPeerConnection connection = Take();
    Hear(connection, ReadOf(1));
    connection.Send(Mbap(Answer(1, 42)));
    EXPECT_THAT(reply.get().words, ElementsAre(42));
    return connection;
  }
  ModbusReply ReplyTo(const std::string& bytes) {
    auto reply = Start(*bus_, ReadOf(1), kShort);
    TcpPeerConnection connection = Take();
    Hear(connection, ReadOf(1));
    connection.Send(bytes);
    ModbusReply replied = reply.get();
    EXPECT_TRUE(connection.IsAtEnd()) << absl::CHexEscape(bytes);
    return replied;
  }

  TcpPeer peer_;
  std::unique_ptr<ModbusBus> bus_ =
      MakeLibmodbusBus({.kind = ModbusKind::kTcp, .host = "127.0.0.1", .port = peer_.port()});
};

TEST_F(LibmodbusTcp, KeepsItsConnection) {
  TcpPeerConnection connection = Used();
  for (const uint8_t value : {1, 2, 3}) {
    auto reply = Start(*bus_, ReadOf(1));
    Hear(connection, ReadOf(1));
    connection.Send(Mbap(Answer(1, value)));
    EXPECT_THAT(reply.get().words, ElementsAre(value));
  }
}

TEST_F(LibmodbusTcp, ExceptionKeepsTheConnection) {
  TcpPeerConnection connection = Used();
  auto refused = Start(*bus_, ReadOf(1));
  Hear(connection, ReadOf(1));
  connection.Send(Mbap("\x01\x83\x0B"));
  EXPECT_EQ(refused.get().exception, 11);
  auto reply = Start(*bus_, ReadOf(1));
  Hear(connection, ReadOf(1));
  connection.Send(Mbap(Answer(1, 9)));
  EXPECT_THAT(reply.get().words, ElementsAre(9));
}

TEST_F(LibmodbusTcp, LateAnswerGoesWithItsConnection) {
  TcpPeerConnection connection = Used();
  auto late = Start(*bus_, ReadOf(1), kShort);
  Hear(connection, ReadOf(1));
  EXPECT_EQ(late.get().outcome, Outcome::kNoAnswer);
  connection.Send(Mbap(Answer(1, 66)));
  Used();
}

TEST_F(LibmodbusTcp, AnswerThatNobodyAskedForIsNotTakenForTheNext) {
  TcpPeerConnection connection = Used();
  connection.Send(Mbap(Answer(1, 66)));
  Used();
}

TEST_F(LibmodbusTcp, WhatIsNoAnswerToThisIsBadAndMakesTheConnectionAnew) {
  const std::string answers[] = {
      Mbap(Answer(2, 1)),                                       // another unit
      std::string("\0\x01\0\0\0", 5) + "\x05" + Answer(1, 1),   // another number
      std::string("\0\0\0\x01\0", 5) + "\x05" + Answer(1, 1),   // another protocol
      std::string("\0\0\0\0\0", 5) + "\x06" + Answer(1, 1),     // longer than it is
      Mbap(std::string("\x01\x03\x04\0\0\0\0", 7)),             // more registers
      Mbap(std::string("\x01\x04\x02\0\0", 5)),                 // another function
      Mbap("\x01\x84\x02"),                                     // exception of another function
      "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",  // not Modbus at all
      std::string("\0", 1),                                     // breaks off
      Mbap(Answer(1, 1)).substr(0, 10),
  };
  for (const std::string& answer : answers) {
    const ModbusReply reply = ReplyTo(answer);
    EXPECT_EQ(reply.outcome, Outcome::kBadAnswer) << absl::CHexEscape(answer) << ": " << reply.detail;
    EXPECT_NE(reply.detail, "");
  }
  Used();
}

TEST_F(LibmodbusTcp, ReadIsAskedAgainWhenAConnectionThatWasUsedIsClosedInsteadOfAnAnswer) {
  TcpPeerConnection connection = Used();
  auto reply = Start(*bus_, ReadOf(1));
  Hear(connection, ReadOf(1));
  connection.Close();
  TcpPeerConnection again = Take();
  Hear(again, ReadOf(1));
  again.Send(Mbap(Answer(1, 4)));
  EXPECT_THAT(reply.get().words, ElementsAre(4));
}

TEST_F(LibmodbusTcp, ReadIsNotAskedAgainOnAFreshConnection) {
  auto reply = Start(*bus_, ReadOf(1));
  TcpPeerConnection connection = Take();
  Hear(connection, ReadOf(1));
  connection.Close();
  EXPECT_EQ(reply.get().outcome, Outcome::kNotConnected);
  EXPECT_FALSE(peer_.HasCaller());
}

TEST_F(LibmodbusTcp, WriteThatMayHaveArrivedIsNotSentAgain) {
  TcpPeerConnection connection = Used();
  auto reply = Start(*bus_, WriteOf(1));
  Hear(connection, WriteOf(1));
  connection.Close();
  const ModbusReply replied = reply.get();
  EXPECT_EQ(replied.outcome, Outcome::kNotConnected);
  EXPECT_TRUE(replied.was_sent);
  EXPECT_FALSE(peer_.HasCaller());
}

TEST_F(LibmodbusTcp, WriteAfterTheServerClosedAnIdleConnectionGoesOverANewOne) {
  Used().Close();
  auto reply = Start(*bus_, WriteOf(1));
  TcpPeerConnection connection = Take();
  Hear(connection, WriteOf(1));
  connection.Send(Mbap(Asked(WriteOf(1))));
  EXPECT_EQ(reply.get().outcome, Outcome::kDone);
}

TEST_F(LibmodbusTcp, DrippingAnswerEndsWithTheTimeout) {
  auto reply = Start(*bus_, ReadOf(1), kShort);
  TcpPeerConnection connection = Take();
  Hear(connection, ReadOf(1));
  std::promise<void> over;
  std::thread drip([&, ended = over.get_future()] {
    connection.Send(Mbap(std::string("\x01\x03\xFA", 3)));
    while (ended.wait_for(std::chrono::milliseconds(2)) != std::future_status::ready) connection.Send("x");
  });
  EXPECT_EQ(reply.get().outcome, Outcome::kBadAnswer);
  over.set_value();
  drip.join();
}

// If it did not, the test would run into its time limit.
TEST_F(LibmodbusTcp, InterruptEndsWaitingForAnAnswerAndForTheRestOfOne) {
  for (const std::string& begun : {std::string(), Mbap(Answer(1, 1)).substr(0, 8)}) {
    bus_ = MakeLibmodbusBus({.kind = ModbusKind::kTcp, .host = "127.0.0.1", .port = peer_.port()});
    auto reply = Start(*bus_, ReadOf(1), absl::Hours(1));
    TcpPeerConnection connection = Take();
    Hear(connection, ReadOf(1));
    connection.Send(begun);
    bus_->Interrupt();
    EXPECT_EQ(reply.get().outcome, Outcome::kInterrupted);
  }
}

TEST_F(LibmodbusTcp, ConnectionThatIsNotTakenEndsWithTheTimeoutOrByInterrupt) {
  peer_.Fill();
  EXPECT_EQ(bus_->Execute(ReadOf(1), kShort).outcome, Outcome::kNotConnected);
  auto reply = Start(*bus_, ReadOf(1), absl::Hours(1));
  bus_->Interrupt();
  EXPECT_EQ(reply.get().outcome, Outcome::kInterrupted);
}

TEST_F(LibmodbusTcp, SaysWhyItIsNotConnected) {
  auto refused = MakeLibmodbusBus({.kind = ModbusKind::kTcp, .host = "127.0.0.1", .port = 1});
  EXPECT_EQ(refused->Execute(ReadOf(1), kPatience).detail, "127.0.0.1:1: connection refused");
  auto nowhere = MakeLibmodbusBus({.kind = ModbusKind::kTcp, .host = "no-such-host.invalid", .port = 502});
  const ModbusReply reply = nowhere->Execute(ReadOf(1), kPatience);
  EXPECT_EQ(reply.outcome, Outcome::kNotConnected);
  EXPECT_THAT(reply.detail, HasSubstr("no-such-host.invalid:502: "));
}

// ---- a serial line

uint16_t CheckSum(absl::string_view bytes) {
  uint16_t sum = 0xFFFF;  // CRC-16 of Modbus over serial line V1.02, section 6.2.2
  for (const char c : bytes) {
    sum ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) sum = static_cast<uint16_t>(sum & 1 ? sum >> 1 ^ 0xA001 : sum >> 1);
  }
  return sum;
}
std::string Rtu(absl::string_view bytes) {
  const uint16_t sum = CheckSum(bytes);
  return std::string(bytes) + static_cast<char>(sum & 0xFF) + static_cast<char>(sum >> 8);
}

class LibmodbusRtu : public testing::Test {
 protected:
  void Hear(const ModbusTransaction& transaction) {
    const std::string request = Rtu(Asked(transaction));
    while (line_.Hear().size() < request.size()) {
      pollfd one = {.fd = line_.fd(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&one, 1, kTcpPeerPatienceMs), 1);
    }
    EXPECT_EQ(line_.Hear(), request);
    line_.Forget();
  }
  void ExpectGood(uint8_t unit) {
    auto reply = Start(*bus_, ReadOf(unit));
    Hear(ReadOf(unit));
    line_.Say(Rtu(Answer(unit, 42)));
    EXPECT_THAT(reply.get().words, ElementsAre(42));
  }
  static std::unique_ptr<ModbusBus> Make(const std::string& path, int baud = 115200) {
    return MakeLibmodbusBus({.kind = ModbusKind::kRtu, .host = path, .baud = baud, .parity = 'N'});
  }

  SerialEnd line_ = SerialEnd::Adapter();
  std::unique_ptr<ModbusBus> bus_ = Make(line_.path());
};

TEST_F(LibmodbusRtu, WrongCheckSumIsABadAnswer) {
  auto reply = Start(*bus_, ReadOf(1));
  Hear(ReadOf(1));
  line_.Say(Answer(1, 42) + "xx");
  EXPECT_EQ(reply.get().outcome, Outcome::kBadAnswer);
  ExpectGood(1);
}

TEST_F(LibmodbusRtu, AnswerThatBreaksOffIsABadAnswer) {
  auto reply = Start(*bus_, ReadOf(1), kShort);
  Hear(ReadOf(1));
  line_.Say(Rtu(Answer(1, 42)).substr(0, 4));
  EXPECT_EQ(reply.get().outcome, Outcome::kBadAnswer);
  ExpectGood(1);
}

TEST_F(LibmodbusRtu, NoiseBeforeARequestIsDropped) {
  ExpectGood(1);
  line_.Say("noise");
  ExpectGood(1);
  line_.Say(Rtu(Answer(1, 66)));
  ExpectGood(1);
}

TEST_F(LibmodbusRtu, LateAnswerIsDroppedBeforeTheSameUnitIsAskedAgain) {
  auto late = Start(*bus_, ReadOf(1), kShort);
  Hear(ReadOf(1));
  EXPECT_EQ(late.get().outcome, Outcome::kNoAnswer);
  line_.Say(Rtu(Answer(1, 66)));
  ExpectGood(1);
}

TEST_F(LibmodbusRtu, LateAnswerOfAnotherUnitIsPassedOver) {
  auto late = Start(*bus_, ReadOf(1), kShort);
  Hear(ReadOf(1));
  EXPECT_EQ(late.get().outcome, Outcome::kNoAnswer);
  auto reply = Start(*bus_, ReadOf(2));
  Hear(ReadOf(2));
  line_.Say(Rtu(Answer(1, 66)));
  line_.Say(Rtu(Answer(2, 42)));
  EXPECT_THAT(reply.get().words, ElementsAre(42));
  ExpectGood(1);
}

TEST_F(LibmodbusRtu, OnlyOtherUnitsIsABadAnswer) {
  auto reply = Start(*bus_, ReadOf(2), kShort);
  Hear(ReadOf(2));
  line_.Say(Rtu(Answer(1, 66)));
  EXPECT_EQ(reply.get().outcome, Outcome::kBadAnswer);
}

TEST_F(LibmodbusRtu, LineThatIsNeverSilentIsABadAnswerAndNothingIsSaidOnIt) {
  std::promise<void> over;
  std::thread babble([&, ended = over.get_future()] {
    while (ended.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) line_.Say("x");
  });
  EXPECT_EQ(bus_->Execute(ReadOf(1), kShort).outcome, Outcome::kBadAnswer);
  over.set_value();
  babble.join();
  EXPECT_EQ(line_.Hear(), "");
}

TEST_F(LibmodbusRtu, BroadcastIsOverWhenItHasGoneOut) {
  EXPECT_EQ(bus_->Execute(WriteOf(0), absl::Hours(1)).outcome, Outcome::kDone);
  Hear(WriteOf(0));
  EXPECT_NE(bus_->Execute(ReadOf(0), absl::Hours(1)).outcome, Outcome::kDone) << "nobody can answer";
  EXPECT_NE(bus_->Execute(ReadOf(248), absl::Hours(1)).outcome, Outcome::kDone) << "nobody has this address";
  ExpectGood(1);
}

// If it did not, the test would run into its time limit.
TEST_F(LibmodbusRtu, InterruptEndsWaitingForAnAnswerAndForTheRestOfOne) {
  for (const std::string& begun : {std::string(), Rtu(Answer(1, 1)).substr(0, 3)}) {
    bus_.reset();
    bus_ = Make(line_.path());
    auto reply = Start(*bus_, ReadOf(1), absl::Hours(1));
    Hear(ReadOf(1));
    line_.Say(begun);
    bus_->Interrupt();
    EXPECT_EQ(reply.get().outcome, Outcome::kInterrupted);
  }
}

TEST_F(LibmodbusRtu, UnpluggedWhileItWaitsIsNotConnected) {
  auto reply = Start(*bus_, ReadOf(1), absl::Hours(1));
  Hear(ReadOf(1));
  line_.Close();
  EXPECT_EQ(reply.get().outcome, Outcome::kNotConnected);
}

TEST_F(LibmodbusRtu, SaysWhyItIsNotConnected) {
  EXPECT_EQ(Make("/dev/ttyUSB99")->Execute(ReadOf(1), kShort).detail, "/dev/ttyUSB99: no such file or directory");
  EXPECT_EQ(Make("/dev/null")->Execute(ReadOf(1), kShort).detail, "/dev/null: it is no serial line");
  EXPECT_EQ(Make(line_.path(), 12345)->Execute(ReadOf(1), kShort).detail,
            line_.path() + ": a serial line cannot have 12345 bit/s");
}

}  // namespace
}  // namespace fleet::device
