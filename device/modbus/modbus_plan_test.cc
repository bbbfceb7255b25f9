#include "device/modbus/modbus_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/config.h"
#include "fleet/v1/config.pb.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// As the program does it: the file over the defaults.
absl::StatusOr<ModbusPlan> PlanOf(absl::string_view toml, const std::vector<std::string>& taken = {}) {
  v1::DeviceConfig config;
  ApplyDefaults(config);
  if (absl::Status status = ApplyToml(toml, "device.toml", config); !status.ok()) return status;
  return MakeModbusPlan(config.modbus(), taken);
}

ModbusPlan Plan(absl::string_view toml) {
  absl::StatusOr<ModbusPlan> plan = PlanOf(toml);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(ModbusPlan());
}

std::string Error(absl::string_view toml, const std::vector<std::string>& taken = {}) {
  const absl::StatusOr<ModbusPlan> plan = PlanOf(toml, taken);
  if (plan.ok()) return "OK";
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(plan.status().message());
}

std::string Bus(absl::string_view name, absl::string_view interface, absl::string_view keys = "") {
  return absl::StrCat("[[modbus.bus]]\nname = \"", name, "\"\ninterface = \"", interface, "\"\n", keys, "\n");
}
std::string Unit(absl::string_view id, absl::string_view bus, absl::string_view keys = "") {
  return absl::StrCat("[[modbus.unit]]\nid = \"", id, "\"\nbus = \"", bus, "\"\n", keys, "\n");
}
std::string Meter() {
  return Bus("rs485", "rtu:/dev/ttyUSB0") + Unit("meter", "rs485", "address = 3");
}
std::string Poll(absl::string_view keys, absl::string_view topic = "meter/power") {
  return absl::StrCat("[[modbus.poll]]\ntopic = \"", topic, "\"\nunit = \"meter\"\n", keys, "\n");
}
std::string Write(absl::string_view keys) {
  return absl::StrCat("[[modbus.write]]\nunit = \"meter\"\n", keys, "\n");
}

TEST(ModbusPlan, NothingIsConfiguredByDefault) {
  const ModbusPlan plan = Plan("");
  EXPECT_TRUE(plan.buses.empty());
  EXPECT_TRUE(plan.units.empty());
  EXPECT_TRUE(plan.signals.empty());
  EXPECT_EQ(plan.state_period, absl::Seconds(5));
  EXPECT_EQ(plan.alias, "");
}

TEST(ModbusPlan, ASerialLineHasItsDefaults) {
  const ModbusPlan plan = Plan(Bus("rs485", "rtu:/dev/ttyUSB0"));
  ASSERT_EQ(plan.buses.size(), 1u);
  const ModbusBusPlan& bus = plan.buses[0];
  EXPECT_EQ(bus.name, "rs485");
  EXPECT_EQ(bus.kind, ModbusKind::kRtu);
  EXPECT_EQ(bus.host, "/dev/ttyUSB0");
  EXPECT_EQ(bus.baud, 19200);
  EXPECT_EQ(bus.parity, 'E');
  EXPECT_EQ(bus.stop_bits, 1);
  EXPECT_EQ(bus.timeout, absl::Milliseconds(500));
  EXPECT_EQ(bus.in_flight, 1);
}

TEST(ModbusPlan, TakesEveryKeyOfABus) {
  const ModbusBusPlan bus = Plan(Bus("a", "rtu:/dev/ttyS1", R"(baud = 9600
parity = "none"
stop_bits = 2
timeout = "100ms")"))
                                .buses.at(0);
  EXPECT_EQ(bus.baud, 9600);
  EXPECT_EQ(bus.parity, 'N');
  EXPECT_EQ(bus.stop_bits, 2);
  EXPECT_EQ(bus.timeout, absl::Milliseconds(100));
}

TEST(ModbusPlan, AnInterfaceNamesItsHostAndPort) {
  const struct {
    const char* interface;
    ModbusKind kind;
    const char* host;
    int port;
  } kCases[] = {
      {"tcp:10.0.0.7", ModbusKind::kTcp, "10.0.0.7", 502},
      {"tcp:plc.local:1502", ModbusKind::kTcp, "plc.local", 1502},
      {"tcp:[fe80::1%eth0]", ModbusKind::kTcp, "fe80::1%eth0", 502},
      {"tcp:[::1]:503", ModbusKind::kTcp, "::1", 503},
      {"http://127.0.0.1:5000", ModbusKind::kWeb, "127.0.0.1", 5000},
      {"http://web/", ModbusKind::kWeb, "web", 80},
  };
  for (const auto& expected : kCases) {
    const ModbusBusPlan bus = Plan(Bus("a", expected.interface)).buses.at(0);
    EXPECT_EQ(bus.kind, expected.kind) << expected.interface;
    EXPECT_EQ(bus.host, expected.host) << expected.interface;
    EXPECT_EQ(bus.port, expected.port) << expected.interface;
  }
}

TEST(ModbusPlan, AWebBridgeHasTenSeconds) {
  const ModbusPlan plan = Plan(Bus("web", "http://127.0.0.1:5000", "timeout = \"50ms\"\nin_flight = 4"));
  EXPECT_EQ(plan.buses.at(0).timeout, absl::Seconds(10));
  EXPECT_EQ(plan.buses.at(0).in_flight, 4);
}

TEST(ModbusPlan, SaysWhatIsWrongWithABus) {
  EXPECT_THAT(Error(Bus("a b", "tcp:x")), StartsWith("modbus.bus 1 (a b): name: "));
  EXPECT_THAT(Error(Bus("a", "tcp:x") + Bus("a", "tcp:y")), HasSubstr("modbus.bus 2 (a): name: modbus.bus 1 has it"));
  EXPECT_THAT(Error(Bus("a", "tcp:x") + Bus("b", "tcp:x:502")),
              HasSubstr("modbus.bus 2 (b): interface: modbus.bus 1 has it too"));
  EXPECT_THAT(Error(Bus("a", "serial:/dev/x")), HasSubstr("interface: 'serial:/dev/x' is not rtu:DEVICE"));
  EXPECT_THAT(Error(Bus("a", "rtu:ttyUSB0")), HasSubstr("interface: 'ttyUSB0' is no path"));
  EXPECT_THAT(Error(Bus("a", "tcp:")), HasSubstr("interface: '' is no host"));
  EXPECT_THAT(Error(Bus("a", "tcp:x y")), HasSubstr("is no host"));
  EXPECT_THAT(Error(Bus("a", "tcp:x:0")), HasSubstr("interface: '0' is no port"));
  EXPECT_THAT(Error(Bus("a", "tcp:x:65536")), HasSubstr("is no port"));
  EXPECT_THAT(Error(Bus("a", "tcp:[::1]502")), HasSubstr("is no port"));
  EXPECT_THAT(Error(Bus("a", "http://x:80/api")), HasSubstr("is no port"));
  EXPECT_THAT(Error(Bus("a", "rtu:/dev/x", "parity = \"mark\"")), HasSubstr("parity: 'mark' is not even"));
  EXPECT_THAT(Error(Bus("a", "rtu:/dev/x", "in_flight = 2")), HasSubstr("in_flight: a serial line"));
  EXPECT_EQ(Error(Bus("a", "tcp:x", "in_flight = 8")), "OK");
}

TEST(ModbusPlan, SaysWhatIsWrongWithAUnit) {
  EXPECT_THAT(Error(Meter() + Unit("x", "rs458", "address = 4")), HasSubstr("did you mean rs485?"));
  EXPECT_THAT(Error(Meter() + Unit("meter", "rs485", "address = 4")), HasSubstr("id: modbus.unit 1 has it too"));
  EXPECT_THAT(Error(Meter() + Unit("b", "rs485", "address = 3")), HasSubstr("address: modbus.unit 1 on the same bus"));
  EXPECT_THAT(Error(Meter() + Unit("b c", "rs485")), HasSubstr("modbus.unit 2 (b c): id: "));
  EXPECT_THAT(Error(Meter() + Unit("b", "rs485", "address = 0")), HasSubstr("address: on a serial line"));
  EXPECT_THAT(Error(Meter() + Unit("b", "rs485", "address = 248")), HasSubstr("1 to 247"));
  EXPECT_THAT(Error(Meter() + Unit("*", "rs485", "address = 4")), HasSubstr("id: * is for units of a web bridge"));
}

TEST(ModbusPlan, AddressesOfUnitsAreThoseOfTheirBus) {
  EXPECT_EQ(Error(Meter() + Bus("t", "tcp:x") + Unit("a", "t", "address = 0") + Unit("b", "t", "address = 255") +
                  Unit("c", "t", "address = 3")),
            "OK");
  const ModbusPlan plan = Plan(Bus("web", "http://x") + Unit("a", "web") + Unit("b", "web") + Unit("*", "web"));
  EXPECT_EQ(plan.units.size(), 3u);
}

TEST(ModbusPlan, APollIsASignalOfItsOwn) {
  const ModbusPlan plan = Plan(Meter() + Poll(R"(address = 10
function_code = 4
type = "I32"
endianess = "little"
scale_factor = 0.01
period = "2s"
on_change = true
dead_band = 0.5
silent_after = "7s"
qos = 1
retain = true
labels = "0=off")"));
  ASSERT_EQ(plan.polls.size(), 1u);
  const ModbusPollPlan& poll = plan.polls[0];
  EXPECT_EQ(plan.units[poll.unit].id, "meter");
  EXPECT_EQ(poll.function, ModbusFunction::kReadInputRegisters);
  EXPECT_EQ(poll.address, 10);
  EXPECT_EQ(poll.type, ModbusType::kI32);
  EXPECT_TRUE(poll.little_endian);
  EXPECT_EQ(poll.scale_factor, 0.01);
  EXPECT_EQ(poll.period, absl::Seconds(2));
  EXPECT_EQ(poll.size(), 2);
  ASSERT_EQ(plan.signals.size(), 1u);
  const SignalOptions& signal = plan.signals[poll.signal];
  EXPECT_EQ(signal.topic, "meter/power");
  EXPECT_EQ(signal.period, absl::ZeroDuration()) << "the poll paces itself";
  EXPECT_TRUE(signal.on_change);
  EXPECT_EQ(signal.dead_band, 0.5);
  EXPECT_EQ(signal.silent_after, absl::Seconds(7));
  EXPECT_EQ(signal.qos, 1);
  EXPECT_TRUE(signal.retain);
  EXPECT_EQ(signal.decimals, 2);
  ASSERT_EQ(signal.labels.size(), 1u);
}

TEST(ModbusPlan, SilenceIsThreePeriodsButNotLessThanThreeSeconds) {
  const ModbusPlan plan = Plan(Meter() + Poll("period = \"20ms\"", "a/fast") + Poll("period = \"10s\"", "a/slow"));
  EXPECT_EQ(plan.signals.at(0).silent_after, absl::Seconds(3));
  EXPECT_EQ(plan.signals.at(1).silent_after, absl::Seconds(30));
}

TEST(ModbusPlan, DecimalsAreThoseOfTheScaleAndAllOfAFloat) {
  const ModbusPlan plan = Plan(Meter() + Poll("", "a/whole") + Poll("type = \"F32\"", "a/float") +
                               Poll("function_code = 1\nscale_factor = 0.1\ntype = \"what\"", "a/coil"));
  EXPECT_EQ(plan.signals.at(0).decimals, 0);
  EXPECT_EQ(plan.signals.at(1).decimals, -1);
  EXPECT_EQ(plan.signals.at(2).decimals, 0);
  EXPECT_EQ(plan.polls.at(2).scale_factor, 1) << "bits are not scaled";
  EXPECT_EQ(plan.polls.at(2).size(), 1);
}

TEST(ModbusPlan, UnitsOfAWebBridgeCanBePolled) {
  EXPECT_EQ(Error(Bus("web", "http://x") + Unit("meter", "web") + Poll("")), "OK");
}

TEST(ModbusPlan, SaysWhatIsWrongWithAPoll) {
  EXPECT_THAT(Error(Meter() + Poll("", "power")), StartsWith("modbus.poll 1 (power): topic: two or more parts"));
  EXPECT_THAT(Error(Meter() + Poll("", "modbus/request")), HasSubstr("topic: the device itself publishes there"));
  EXPECT_THAT(Error(Meter() + Poll("") + Poll("")), HasSubstr("modbus.poll 2 (meter/power): topic: modbus.poll 1 has"));
  EXPECT_THAT(Error(Meter() + Poll(""), {"engine/rpm", "meter/power"}), HasSubstr("topic: another signal"));
  EXPECT_THAT(Error(Meter() + "[[modbus.poll]]\ntopic = \"a/b\"\nunit = \"metre\"\n"),
              HasSubstr("unit: there is no modbus.unit \"metre\"; did you mean meter?"));
  EXPECT_THAT(Error(Meter() + Poll("type = \"STR\"")), HasSubstr("telemetry is numbers"));
  EXPECT_THAT(Error(Meter() + Poll("type = \"u32\"")), HasSubstr("did you mean U32?"));
  EXPECT_THAT(Error(Meter() + Poll("endianess = \"middle\"")), HasSubstr("endianess: 'middle' is not big or little"));
  EXPECT_THAT(Error(Meter() + Poll("scale_factor = 0")), HasSubstr("scale_factor: 0 is not"));
  EXPECT_THAT(Error(Meter() + Poll("scale_factor = inf")), HasSubstr("scale_factor"));
  EXPECT_THAT(Error(Meter() + Poll("address = 65535\ntype = \"U32\"")), HasSubstr("address: 2 from 65535"));
  EXPECT_EQ(Error(Meter() + Poll("address = 65535")), "OK");
  EXPECT_THAT(Error(Meter() + Poll("labels = \"0..=x\"")), HasSubstr("labels: "));
  EXPECT_THAT(Error(Bus("web", "http://x") + Unit("*", "web") + "[[modbus.poll]]\ntopic = \"a/b\"\nunit = \"*\"\n"),
              HasSubstr("unit: * is not one unit"));
}

TEST(ModbusPlan, AWriteRuleHasItsDefaults) {
  const ModbusWriteRule rule = Plan(Meter() + Write("addresses = \"33207\"")).writes.at(0);
  EXPECT_EQ(rule.unit, 0u);
  EXPECT_FALSE(rule.coils);
  EXPECT_EQ(rule.first, 33207);
  EXPECT_EQ(rule.last, 33207);
  EXPECT_EQ(rule.type, ModbusType::kU16);
  EXPECT_FALSE(rule.min.has_value());
  EXPECT_FALSE(rule.max.has_value());
  EXPECT_EQ(rule.rate_hz, 1);
  EXPECT_FALSE(rule.read_back);
}

TEST(ModbusPlan, TakesEveryKeyOfAWriteRule) {
  const ModbusPlan plan = Plan(Meter() + Write(R"(addresses = "100..103"
type = "I32"
endianess = "little"
min = "-5"
max = "2147483647"
rate_hz = 0.5
read_back = true)") + Write("table = \"coil\"\naddresses = \"0..65535\"\nmax = \"0\"\ntype = \"what\""));
  const ModbusWriteRule& rule = plan.writes.at(0);
  EXPECT_EQ(rule.first, 100);
  EXPECT_EQ(rule.last, 103);
  EXPECT_EQ(rule.type, ModbusType::kI32);
  EXPECT_TRUE(rule.little_endian);
  EXPECT_EQ(rule.min, ModbusNumber(int64_t{-5}));
  EXPECT_EQ(rule.max, ModbusNumber(int64_t{2147483647}));
  EXPECT_EQ(rule.rate_hz, 0.5);
  EXPECT_TRUE(rule.read_back);
  EXPECT_TRUE(plan.writes.at(1).coils);
  EXPECT_EQ(plan.writes.at(1).last, 65535);
  EXPECT_EQ(plan.writes.at(1).max, ModbusNumber(int64_t{0}));
}

TEST(ModbusPlan, ASingleAddressIsOneValue) {
  EXPECT_EQ(Plan(Meter() + Write("addresses = \"100\"\ntype = \"U64\"")).writes.at(0).last, 103);
}

TEST(ModbusPlan, BoundsAreExactAsRegistersHoldThem) {
  const auto max_of = [](absl::string_view type, absl::string_view max) {
    return *Plan(Meter() + Write(absl::StrCat("addresses = \"0\"\ntype = \"", type, "\"\nmax = \"", max, "\"")))
                .writes.at(0)
                .max;
  };
  EXPECT_EQ(max_of("U64", "18446744073709551615"), ModbusNumber(uint64_t{18446744073709551615u}));
  EXPECT_EQ(max_of("U64", "9007199254740993"), ModbusNumber(uint64_t{9007199254740993}));
  EXPECT_EQ(max_of("F32", "0.1"), ModbusNumber(double{0.1f}));
  EXPECT_EQ(max_of("U32", "1e5"), ModbusNumber(int64_t{100000}));
}

TEST(ModbusPlan, SaysWhatIsWrongWithAWriteRule) {
  const auto error = [](absl::string_view keys) { return Error(Meter() + Write(keys)); };
  EXPECT_THAT(error("addresses = \"x\""), StartsWith("modbus.write 1 (meter): addresses: 'x' is not 0 to 65535"));
  EXPECT_THAT(error("addresses = \"1..\""), HasSubstr("addresses: '' is not"));
  EXPECT_THAT(error("addresses = \"1-2\""), HasSubstr("addresses: '1-2' is not"));
  EXPECT_THAT(error("addresses = \"65536\""), HasSubstr("'65536' is not 0 to 65535"));
  EXPECT_THAT(error("addresses = \"0..65536\""), HasSubstr("beyond 65535"));
  EXPECT_THAT(error("addresses = \"65535\"\ntype = \"U32\""), HasSubstr("beyond 65535"));
  EXPECT_THAT(error("addresses = \"2..1\""), HasSubstr("end before they begin"));
  EXPECT_THAT(error("addresses = \"0..2\"\ntype = \"U32\""), HasSubstr("3 registers are not whole values"));
  EXPECT_THAT(error("addresses = \"0\"\ntable = \"input\""), HasSubstr("table: 'input' is not holding or coil"));
  EXPECT_THAT(error("addresses = \"0\"\ntype = \"F64\""), HasSubstr("type: 'F64' is not"));
  EXPECT_THAT(error("addresses = \"0\"\nmin = \"two\""), HasSubstr("min: 'two' is not a number"));
  EXPECT_THAT(error("addresses = \"0\"\nmin = \"nan\""), HasSubstr("min: "));
  EXPECT_THAT(error("addresses = \"0\"\nmax = \"65536\""), HasSubstr("max: 65536 does not fit into U16"));
  EXPECT_THAT(error("addresses = \"0\"\nmin = \"-1\""), HasSubstr("min: -1 does not fit"));
  EXPECT_THAT(error("addresses = \"0\"\nmax = \"1.5\""), HasSubstr("max: '1.5' is not whole"));
  EXPECT_THAT(error("addresses = \"0\"\nmin = \"2\"\nmax = \"1\""), HasSubstr("min: greater than max"));
  EXPECT_THAT(error("addresses = \"0\"\ntype = \"STR\"\nmax = \"1\""), HasSubstr("max: a text has no bounds"));
  EXPECT_THAT(error("addresses = \"0\"\ntable = \"coil\"\nmax = \"2\""), HasSubstr("max: '2' is not 0 or 1"));
  EXPECT_THAT(Error(Meter() + "[[modbus.write]]\nunit = \"x\"\naddresses = \"0\"\n"),
              HasSubstr("there is no modbus.unit"));
}

TEST(ModbusPlan, TwoRulesForOneRegisterAreRefused) {
  EXPECT_THAT(Error(Meter() + Write("addresses = \"0..9\"") + Write("addresses = \"9\"")),
              HasSubstr("modbus.write 2 (meter): addresses: modbus.write 1 has some of them too"));
  EXPECT_EQ(Error(Meter() + Write("addresses = \"0..9\"") + Write("addresses = \"10\"") +
                  Write("addresses = \"0\"\ntable = \"coil\"")),
            "OK");
}

TEST(ModbusPlan, TheAliasIsOneLevelThatIsNotTheFleetsOwn) {
  EXPECT_EQ(Plan("[modbus]\nalias = \"iamcat\"\nstate_period = \"off\"\n").alias, "iamcat");
  EXPECT_EQ(Plan("[modbus]\nstate_period = \"off\"\n").state_period, absl::ZeroDuration());
  for (const char* alias : {"a/b", "+", "#", "a b", "rpi", "server"}) {
    EXPECT_THAT(Error(absl::StrCat("[modbus]\nalias = \"", alias, "\"\n")), StartsWith("modbus.alias: ")) << alias;
  }
}

TEST(ModbusPlan, ThereAreNotMoreOfAnythingThanThePlanAllows) {
  std::string buses;
  for (size_t i = 0; i <= kMaxModbusBuses; ++i)
    absl::StrAppend(&buses, Bus(absl::StrCat("b", i), absl::StrCat("tcp:h", i)));
  EXPECT_THAT(Error(buses), HasSubstr("there may be at most 16"));
  std::string rules = Meter();
  for (size_t i = 0; i <= kMaxModbusWriteRules; ++i)
    absl::StrAppend(&rules, Write(absl::StrCat("addresses = \"", i, "\"")));
  EXPECT_THAT(Error(rules), HasSubstr("there may be at most 1024"));
}

TEST(ModbusPlan, TheExampleLoads) {
  std::ifstream file(std::string(FLEET_SOURCE_DIR) + "/examples/modbus/inverter.toml");
  const std::string toml(std::istreambuf_iterator<char>(file), {});
  const ModbusPlan plan = Plan(toml);
  ASSERT_EQ(plan.buses.size(), 3u);
  EXPECT_EQ(plan.buses[0].kind, ModbusKind::kRtu);
  EXPECT_EQ(plan.buses[1].kind, ModbusKind::kTcp);
  EXPECT_EQ(plan.buses[2].kind, ModbusKind::kWeb);
  EXPECT_EQ(plan.units.back().id, "*");
  EXPECT_EQ(plan.polls.size(), 6u);
  EXPECT_EQ(plan.signals.at(2).decimals, 3);
  EXPECT_EQ(plan.writes.size(), 3u);
}

}  // namespace
}  // namespace fleet::device
