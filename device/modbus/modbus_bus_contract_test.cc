// What every ModbusBus promises. A kind of bus is tested by an entry of Kinds(): how to make one, and what can be done
// to it. At the other side of the real ones is pymodbus.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/http_server.h"
#include "common/testing/temp_dir.h"
#include "device/modbus/libmodbus_bus.h"
#include "device/modbus/testing/memory_modbus_bus.h"
#include "device/modbus/testing/pymodbus_server.h"
#include "device/modbus/testing/serial_wire.h"

namespace fleet::device {
namespace {

using Outcome = ModbusReply::Outcome;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using Words = std::vector<uint16_t>;

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kShort = absl::Milliseconds(50);
constexpr absl::Duration kLateness = absl::Milliseconds(1300);  // of the slow unit, by more than
constexpr absl::Duration kTooShort = absl::Milliseconds(1000);  // and by less than twice this
constexpr uint8_t kSlowUnit = 3;
constexpr uint8_t kNoUnit = 9;
constexpr uint8_t kIllegalDataAddress = 2;

// A bus, and the units 1, 2 and kSlowUnit.
struct World {
  std::shared_ptr<void> around;  // what the bus needs: gone after it
  std::unique_ptr<ModbusBus> bus;
  std::function<void()> go_down;
  std::function<void()> come_back;
  std::function<void()> grow_quick = [] {};  // of the slow unit, when it was waited for in vain
  bool broadcasts = true;

  ModbusReply Read(ModbusFunction function, uint8_t unit, uint16_t address, uint16_t count) {
    return bus->Execute({.unit = unit, .function = function, .address = address, .count = count}, kPatience);
  }
  ModbusReply ReadOne(uint8_t unit, uint16_t address) {
    return Read(ModbusFunction::kReadHoldingRegisters, unit, address, 1);
  }
  ModbusReply Write(ModbusFunction function, uint8_t unit, uint16_t address, Words words) {
    const auto count = static_cast<uint16_t>(words.size());
    return bus->Execute(
        {.unit = unit, .function = function, .address = address, .count = count, .words = std::move(words)}, kPatience);
  }
};

struct Kind {
  const char* name;
  // kNotFound: there is none on this machine, and its tests are skipped with that.
  std::function<absl::StatusOr<std::unique_ptr<World>>()> make;
};

// ---- the kinds

std::unique_ptr<World> MemoryWorld() {
  auto units = std::make_shared<MemoryModbusUnits>();
  for (const uint8_t unit : {uint8_t{1}, uint8_t{2}, kSlowUnit}) units->Add(unit);
  units->Set(kSlowUnit, MemoryModbusUnits::Manner::kIsSilent);
  auto world = std::make_unique<World>();
  world->around = units;
  world->bus = units->Attach();
  world->go_down = [units] { units->Disconnect("disconnected by a test"); };
  world->come_back = [units] { units->Connect(); };
  world->grow_quick = [units] { units->Set(kSlowUnit, MemoryModbusUnits::Manner::kAnswers); };
  return world;
}

std::vector<std::string> UnitArguments() {
  return {"--units", "1,2,3", "--slow", absl::StrCat(kSlowUnit, ":", absl::ToInt64Milliseconds(kLateness))};
}

absl::StatusOr<std::unique_ptr<PymodbusServer>> StartServer(std::vector<std::string> where) {
  for (const std::string& argument : UnitArguments()) where.push_back(argument);
  return PymodbusServer::Start(std::move(where));
}

absl::StatusOr<std::unique_ptr<World>> TcpWorld(const std::string& host) {
  auto started = StartServer({"--tcp", host + ":0"});
  if (!started.ok()) return started.status();
  auto server = std::make_shared<std::unique_ptr<PymodbusServer>>(*std::move(started));
  ModbusBusPlan plan = {.name = "plant", .kind = ModbusKind::kTcp, .host = host};
  EXPECT_TRUE(absl::SimpleAtoi((*server)->where(), &plan.port));
  auto world = std::make_unique<World>();
  world->around = server;
  world->bus = MakeLibmodbusBus(plan);
  world->go_down = [server] { server->reset(); };
  world->come_back = [server, plan] {
    *server = StartServer({"--tcp", absl::StrCat(plan.host, ":", plan.port)}).value();
  };
  world->broadcasts = false;
  return world;
}

bool HasIpv6() {
  return HttpServer::Bind({.listen = "[::1]:0"}).ok();
}
absl::StatusOr<std::unique_ptr<World>> NoIpv6() {
  return absl::NotFoundError("this machine has no IPv6");
}

// A cable and who is at its other end.
struct Cable {
  TempDir dir;
  std::unique_ptr<SerialWire> wire;
  std::unique_ptr<PymodbusServer> server;

  std::string path() const { return dir.File("tty"); }
  absl::Status Plug() {
    wire = std::make_unique<SerialWire>(path());
    auto started = StartServer({"--rtu", wire->other_end()});
    if (started.ok()) server = *std::move(started);
    return started.status();
  }
  void Unplug() {
    server.reset();
    wire.reset();
  }
};

absl::StatusOr<std::unique_ptr<World>> RtuWorld() {
  auto cable = std::make_shared<Cable>();
  if (absl::Status status = cable->Plug(); !status.ok()) return status;
  auto world = std::make_unique<World>();
  world->around = cable;
  world->bus = MakeLibmodbusBus({.name = "rs485", .kind = ModbusKind::kRtu, .host = cable->path(), .parity = 'N'});
  world->go_down = [cable] { cable->Unplug(); };
  world->come_back = [cable] { EXPECT_TRUE(cable->Plug().ok()); };
  return world;
}

std::vector<Kind> Kinds() {
  return {{.name = "Memory", .make = [] { return MemoryWorld(); }},
          {.name = "Tcp", .make = [] { return TcpWorld("127.0.0.1"); }},
          {.name = "TcpOfIpv6", .make = [] { return HasIpv6() ? TcpWorld("::1") : NoIpv6(); }},
          {.name = "TcpByName", .make = [] { return TcpWorld("localhost"); }},
          {.name = "Rtu", .make = RtuWorld}};
}

// ---- the promises

Words RegistersAtFirst(uint8_t unit, int address, int count) {
  Words words;
  for (int i = 0; i < count; ++i) words.push_back(static_cast<uint16_t>(unit * 1000 + address + i));
  return words;
}
Words BitsAtFirst(uint8_t unit, int address, int count) {
  Words words;
  for (int i = 0; i < count; ++i) words.push_back(static_cast<uint16_t>((unit + address + i) % 2));
  return words;
}

class ModbusBusContract : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    auto made = GetParam().make();
    if (absl::IsNotFound(made.status())) GTEST_SKIP() << made.status();
    ASSERT_TRUE(made.ok()) << made.status();
    world_ = *std::move(made);
  }
  void ExpectWords(const ModbusReply& reply, const Words& words) {
    EXPECT_EQ(reply.outcome, Outcome::kDone) << reply.detail;
    EXPECT_EQ(reply.words, words);
  }
  void ExpectDone(const ModbusReply& reply) { ExpectWords(reply, {}); }

  std::unique_ptr<World> world_;
};

TEST_P(ModbusBusContract, ReadsRegistersAndBitsOfEachUnit) {
  for (const uint8_t unit : {uint8_t{1}, uint8_t{2}}) {
    ExpectWords(world_->Read(ModbusFunction::kReadCoils, unit, 7, 11), BitsAtFirst(unit, 7, 11));
    ExpectWords(world_->Read(ModbusFunction::kReadDiscreteInputs, unit, 8, 3), BitsAtFirst(unit, 8, 3));
    ExpectWords(world_->Read(ModbusFunction::kReadHoldingRegisters, unit, 10, 4), RegistersAtFirst(unit, 10, 4));
    ExpectWords(world_->Read(ModbusFunction::kReadInputRegisters, unit, 11, 2), RegistersAtFirst(unit, 11, 2));
  }
}

TEST_P(ModbusBusContract, ReadsAtBothEndsOfTheAddresses) {
  for (const uint16_t address : {0, 65535}) {
    ExpectWords(world_->ReadOne(1, address), RegistersAtFirst(1, address, 1));
    ExpectWords(world_->Read(ModbusFunction::kReadCoils, 1, address, 1), BitsAtFirst(1, address, 1));
  }
}

TEST_P(ModbusBusContract, ReadsAsMuchAsAFrameHolds) {
  ExpectWords(world_->Read(ModbusFunction::kReadHoldingRegisters, 2, 100, kMaxReadRegisters),
              RegistersAtFirst(2, 100, kMaxReadRegisters));
  ExpectWords(world_->Read(ModbusFunction::kReadCoils, 2, 100, kMaxReadBits), BitsAtFirst(2, 100, kMaxReadBits));
}

TEST_P(ModbusBusContract, WritesOneAndSeveral) {
  ExpectDone(world_->Write(ModbusFunction::kWriteRegister, 1, 20, {0xABCD}));
  ExpectDone(world_->Write(ModbusFunction::kWriteRegisters, 1, 21, {1, 0xFFFF, 3}));
  ExpectWords(world_->Read(ModbusFunction::kReadHoldingRegisters, 1, 20, 5), {0xABCD, 1, 0xFFFF, 3, 1024});
  ExpectDone(world_->Write(ModbusFunction::kWriteCoil, 1, 30, {0}));
  ExpectDone(world_->Write(ModbusFunction::kWriteCoil, 1, 31, {1}));
  ExpectDone(world_->Write(ModbusFunction::kWriteCoils, 1, 32, {1, 1, 0, 0, 1, 1, 0, 0, 1}));
  ExpectWords(world_->Read(ModbusFunction::kReadCoils, 1, 30, 12), {0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0});
  ExpectWords(world_->ReadOne(2, 20), {2020});
}

TEST_P(ModbusBusContract, WritesAsMuchAsAFrameHoldsAtTheLastAddress) {
  const Words words(kMaxWriteRegisters, 0x1234);
  const auto address = static_cast<uint16_t>(65536 - words.size());
  ExpectDone(world_->Write(ModbusFunction::kWriteRegisters, 1, address, words));
  ExpectWords(world_->Read(ModbusFunction::kReadHoldingRegisters, 1, address, kMaxWriteRegisters), words);
  const Words bits(kMaxWriteBits, 1);
  const auto first_bit = static_cast<uint16_t>(65536 - bits.size());
  ExpectDone(world_->Write(ModbusFunction::kWriteCoils, 1, first_bit, bits));
  ExpectWords(world_->Read(ModbusFunction::kReadCoils, 1, first_bit, kMaxWriteBits), bits);
}

TEST_P(ModbusBusContract, WritesToAllUnitsAtOnceWithoutAnAnswer) {
  if (!world_->broadcasts) return;  // TCP has no such thing
  ExpectDone(world_->Write(ModbusFunction::kWriteRegister, 0, 40, {7}));
  for (const uint8_t unit : {uint8_t{1}, uint8_t{2}}) ExpectWords(world_->ReadOne(unit, 40), {7});
}

TEST_P(ModbusBusContract, SaysHowAUnitRefusesAndGoesOn) {
  const ModbusReply read = world_->Read(ModbusFunction::kReadInputRegisters, 1, 65535, 2);
  EXPECT_EQ(read.outcome, Outcome::kException);
  EXPECT_EQ(read.exception, kIllegalDataAddress);
  EXPECT_THAT(read.detail, Not(IsEmpty()));
  const ModbusReply write = world_->Write(ModbusFunction::kWriteRegisters, 1, 65535, {1, 2});
  EXPECT_EQ(write.outcome, Outcome::kException);
  EXPECT_EQ(write.exception, kIllegalDataAddress);
  ExpectWords(world_->ReadOne(1, 5), {1005});
}

TEST_P(ModbusBusContract, SilentUnitIsNoAnswerAndOthersAreStillServed) {
  for (int i = 0; i < 2; ++i) {
    const MonoTime began = SystemClock().Read().mono;
    const ModbusReply reply = world_->bus->Execute({.unit = kNoUnit}, kShort);
    EXPECT_EQ(reply.outcome, Outcome::kNoAnswer);
    EXPECT_THAT(reply.detail, Not(IsEmpty()));
    EXPECT_GE(SystemClock().Read().mono - began, kShort);
    ExpectWords(world_->ReadOne(1, 5), {1005});
  }
}

TEST_P(ModbusBusContract, LateAnswerIsNotTakenForTheNext) {
  EXPECT_EQ(world_->bus->Execute({.unit = kSlowUnit, .address = 50}, kTooShort).outcome, Outcome::kNoAnswer);
  world_->grow_quick();
  ExpectWords(world_->ReadOne(kSlowUnit, 60), {3060});
  ExpectWords(world_->ReadOne(1, 5), {1005});
}

TEST_P(ModbusBusContract, IsNotConnectedWhileItIsGoneAndComesBackByItself) {
  ExpectWords(world_->ReadOne(1, 5), {1005});
  world_->go_down();
  for (int i = 0; i < 2; ++i) {
    const ModbusReply reply = world_->ReadOne(1, 5);
    EXPECT_EQ(reply.outcome, Outcome::kNotConnected);
    EXPECT_THAT(reply.detail, Not(IsEmpty()));
  }
  world_->come_back();
  ExpectWords(world_->ReadOne(1, 5), {1005});
}

TEST_P(ModbusBusContract, GoingAndComingBackWhileNobodyAsksCostsNoFailure) {
  ExpectWords(world_->ReadOne(1, 5), {1005});
  world_->go_down();
  world_->come_back();
  ExpectDone(world_->Write(ModbusFunction::kWriteRegister, 1, 5, {6}));
  ExpectWords(world_->ReadOne(1, 5), {6});
}

// If it did not, the test would run into its time limit.
TEST_P(ModbusBusContract, InterruptEndsWhatRunsAndAllThatFollows) {
  std::thread other([this] { world_->bus->Interrupt(); });
  EXPECT_EQ(world_->bus->Execute({.unit = kNoUnit}, absl::Hours(1)).outcome, Outcome::kInterrupted);
  other.join();
  EXPECT_EQ(world_->ReadOne(1, 5).outcome, Outcome::kInterrupted);
}

INSTANTIATE_TEST_SUITE_P(All, ModbusBusContract, testing::ValuesIn(Kinds()),
                         [](const testing::TestParamInfo<Kind>& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace fleet::device
