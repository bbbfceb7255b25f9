#include "device/can/can_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/config.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTruckDbc[] = R"(VERSION ""
BU_: Engine
BO_ 2364540158 EEC1: 8 Engine
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" Vector__XXX
BO_ 389 Drive: 8 Engine
 SG_ Torque : 0|16@1- (0.1,0) [0|0] "Nm" Vector__XXX
 SG_ Mode : 16|4@1+ (1,0) [0|15] "" Vector__XXX
 SG_ Temperature : 32|32@1- (1,0) [0|0] "degC" Vector__XXX
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 2364540158 500;
VAL_ 389 Mode 2 "sport" 0 "off" 1 "eco" ;
SIG_VALTYPE_ 389 Temperature : 1;
)";

// Files by path; what is not there cannot be read.
absl::StatusOr<std::string> ReadTestFile(absl::string_view path) {
  static const std::map<std::string, std::string> files = {
      {"truck.dbc", kTruckDbc},
      {"twin.dbc", kTruckDbc},
      {"broken.dbc", "VERSION \"\"\nBU_: Engine\nBO_ what\n"},
  };
  const auto file = files.find(std::string(path));
  if (file == files.end()) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  return file->second;
}

// As the program does it: the file over the defaults.
absl::StatusOr<CanPlan> PlanOf(absl::string_view toml, const FileReader& read = ReadTestFile) {
  v1::DeviceConfig config;
  ApplyDefaults(config);
  if (absl::Status status = ApplyToml(toml, "device.toml", config); !status.ok()) return status;
  return MakeCanPlan(config.can(), read);
}

CanPlan Plan(absl::string_view toml) {
  absl::StatusOr<CanPlan> plan = PlanOf(toml);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(CanPlan());
}

std::string Error(absl::string_view toml) {
  const absl::StatusOr<CanPlan> plan = PlanOf(toml);
  return plan.ok() ? "OK" : std::string(plan.status().message());
}

constexpr char kBus[] = R"(
[[can.bus]]
name = "can0"
interface = "socketcan:can0"
)";
std::string WithBus(absl::string_view rest) {
  return absl::StrCat(kBus, rest);
}
// One signal on a bus that speaks everything. `keys`: further lines.
std::string WithSource(absl::string_view source, absl::string_view keys = "") {
  return absl::StrCat(kBus, "dbc = \"truck.dbc\"\nobd = \"11bit\"\nj1939 = true\n",
                      "[[can.signal]]\ntopic = \"engine/rpm\"\nbus = \"can0\"\nsource = \"", source, "\"\n", keys);
}

TEST(CanPlan, NothingIsConfiguredByDefault) {
  const CanPlan plan = Plan("");
  EXPECT_TRUE(plan.buses.empty());
  EXPECT_TRUE(plan.signals.empty());
}

TEST(CanPlan, ABusAloneOnlyListensAndAllowsNothing) {
  const CanPlan plan = Plan(kBus);
  ASSERT_EQ(plan.buses.size(), 1u);
  const BusPlan& bus = plan.buses[0];
  EXPECT_EQ(bus.name, "can0");
  EXPECT_EQ(bus.interface, "socketcan:can0");
  EXPECT_EQ(bus.bitrate, 500'000u);
  EXPECT_FALSE(bus.listen_only);
  EXPECT_FALSE(bus.obd.has_value());
  EXPECT_FALSE(bus.j1939);
  EXPECT_TRUE(bus.canopen.empty());
  EXPECT_TRUE(bus.send_allow.empty());
  EXPECT_EQ(bus.send_rate_hz, 100);
  EXPECT_EQ(bus.max_tap, absl::Hours(1));
  EXPECT_EQ(bus.compat_base, "");
}

TEST(CanPlan, TakesEveryKeyOfABus) {
  const CanPlan plan = Plan(R"(
[[can.bus]]
name = "a"
interface = "replay:drive.log"
bitrate = 250000
replay_speed = 0
replay_loop = true
obd = "29bit"
dtc_period = "off"
j1939 = true
canopen = "5=1s, 6=500ms"
max_tap = "off"
send_allow = "7DF,18DB33F1:1FFFFF00"
send_rate_hz = 5
[[can.bus]]
name = "b"
interface = "slcan:/dev/ttyACM0"
listen_only = true
[can.compat]
bases = "b=can,a=car7"
)");
  ASSERT_EQ(plan.buses.size(), 2u);
  const BusPlan& a = plan.buses[0];
  EXPECT_EQ(a.bitrate, 250'000u);
  EXPECT_EQ(a.replay_speed, 0);
  EXPECT_TRUE(a.replay_loop);
  ASSERT_TRUE(a.obd.has_value());
  EXPECT_TRUE(a.obd->extended);
  EXPECT_EQ(a.obd->dtc_period, absl::ZeroDuration());
  EXPECT_TRUE(a.j1939);
  ASSERT_EQ(a.canopen.size(), 2u);
  EXPECT_EQ(a.canopen[1].node, 6);
  EXPECT_EQ(a.canopen[1].silent_after, absl::Milliseconds(500));
  EXPECT_EQ(a.max_tap, absl::ZeroDuration());
  ASSERT_EQ(a.send_allow.size(), 2u);
  EXPECT_EQ(a.send_allow[0].id(), 0x7DFu);
  EXPECT_TRUE(a.send_allow[1].extended());
  EXPECT_EQ(a.send_rate_hz, 5);
  EXPECT_EQ(a.compat_base, "car7");
  EXPECT_TRUE(plan.buses[1].listen_only);
  EXPECT_EQ(plan.buses[1].compat_base, "can");
}

TEST(CanPlan, ADbcSignalBringsItsResolutionLabelsAndCycleTime) {
  const CanPlan plan = Plan(WithBus(R"(dbc = "truck.dbc"
[[can.signal]]
topic = "engine/rpm"
bus = "can0"
source = "dbc:EEC1.EngineSpeed"
period = "100ms"
[[can.signal]]
topic = "drive/mode"
bus = "can0"
source = "dbc:Drive.Mode"
period = "off"
on_change = true
qos = 1
retain = true
[[can.signal]]
topic = "drive/temp"
bus = "can0"
source = "dbc:Drive.Temperature"
period = "50ms"
dead_band = 0.5
)"));
  ASSERT_EQ(plan.signals.size(), 3u);
  const SignalOptions& rpm = plan.signals[0];
  EXPECT_EQ(rpm.topic, "engine/rpm");
  EXPECT_EQ(rpm.period, absl::Milliseconds(100));
  EXPECT_FALSE(rpm.on_change);
  EXPECT_EQ(rpm.decimals, 3);
  EXPECT_EQ(rpm.silent_after, absl::Seconds(5)) << "ten cycles of 500 ms";
  const SignalOptions& mode = plan.signals[1];
  EXPECT_EQ(mode.period, absl::ZeroDuration());
  EXPECT_TRUE(mode.on_change);
  EXPECT_EQ(mode.qos, 1);
  EXPECT_TRUE(mode.retain);
  EXPECT_EQ(mode.silent_after, absl::InfiniteDuration()) << "nobody says how often it comes";
  EXPECT_EQ(SignalText(0, mode.decimals, mode.labels), "off");
  EXPECT_EQ(SignalText(2, mode.decimals, mode.labels), "sport");
  EXPECT_EQ(SignalText(3, mode.decimals, mode.labels), "3");
  const SignalOptions& temp = plan.signals[2];
  EXPECT_EQ(temp.decimals, -1) << "a float has no resolution";
  EXPECT_EQ(temp.dead_band, 0.5);
  EXPECT_EQ(temp.silent_after, absl::Seconds(1)) << "never less than a second by itself";
  ASSERT_EQ(plan.buses[0].dbc.size(), 3u);
  EXPECT_EQ(plan.buses[0].dbc[1].index, 1u);
  EXPECT_EQ(plan.buses[0].dbc[1].id, 389u);
}

TEST(CanPlan, OwnLabelsAndSilenceWin) {
  const CanPlan plan = Plan(WithSource("dbc:Drive.Mode", "labels = \"0=P,1..15=D\"\nsilent_after = \"200ms\"\n"));
  ASSERT_EQ(plan.signals.size(), 1u);
  EXPECT_EQ(SignalText(2, 0, plan.signals[0].labels), "D");
  EXPECT_EQ(plan.signals[0].silent_after, absl::Milliseconds(200));
}

TEST(CanPlan, APidIsAskedForInItsPeriod) {
  const CanPlan plan = Plan(WithSource("obd:0c", "period = \"100ms\"\n"));
  ASSERT_EQ(plan.buses[0].obd->pids.size(), 1u);
  EXPECT_EQ(plan.buses[0].obd->pids[0].pid, 0x0C);
  EXPECT_EQ(plan.buses[0].obd->pids[0].index, 0u);
  EXPECT_EQ(plan.buses[0].obd->pids[0].period, absl::Milliseconds(100));
  EXPECT_EQ(plan.signals[0].decimals, 2);  // quarters
  EXPECT_EQ(plan.signals[0].silent_after, absl::Seconds(1));
}

TEST(CanPlan, AnSpnIsListenedFor) {
  const CanPlan plan = Plan(WithSource("spn:523", "labels = \"-125..-1=R,0=N,1..125=D,126=P\"\n"));
  ASSERT_EQ(plan.buses[0].spns.size(), 1u);
  EXPECT_EQ(plan.buses[0].spns[0].spn, 523u);
  EXPECT_EQ(plan.buses[0].spns[0].index, 0u);
  EXPECT_EQ(plan.signals[0].decimals, 0);
  EXPECT_EQ(plan.signals[0].silent_after, absl::Seconds(10)) << "ten periods of the default";
  EXPECT_EQ(SignalText(126, 0, plan.signals[0].labels), "P");
}

TEST(CanPlan, ProcessDataBelongsToItsCanOpenNode) {
  // 389 is 0x185: first process data of node 5.
  const CanPlan plan = Plan(WithBus(R"(dbc = "truck.dbc"
canopen = "4=1s,5=1s"
[[can.signal]]
topic = "engine/rpm"
bus = "can0"
source = "dbc:EEC1.EngineSpeed"
[[can.signal]]
topic = "drive/torque"
bus = "can0"
source = "dbc:Drive.Torque"
)"));
  EXPECT_THAT(plan.buses[0].canopen[0].signals, ElementsAre());
  EXPECT_THAT(plan.buses[0].canopen[1].signals, ElementsAre(1));
}

TEST(CanPlan, AFileOfTwoBusesIsReadOnce) {
  int reads = 0;
  const absl::StatusOr<CanPlan> plan = PlanOf(R"(
[[can.bus]]
name = "a"
interface = "socketcan:can0"
dbc = "truck.dbc"
[[can.bus]]
name = "b"
interface = "socketcan:can1"
dbc = "truck.dbc"
)",
                                              [&](absl::string_view path) {
                                                ++reads;
                                                return ReadTestFile(path);
                                              });
  EXPECT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(reads, 1);
}

TEST(CanPlan, SaysWhatIsWrongWithABus) {
  const auto bus = [](absl::string_view keys) { return Error(WithBus(keys)); };
  EXPECT_EQ(Error("[[can.bus]]\nname = \"can 0\"\ninterface = \"socketcan:can0\"\n"),
            "can.bus 1 (can 0): name: 1 to 32 of A-Z a-z 0-9 . _ -");
  EXPECT_EQ(bus(kBus), "can.bus 2 (can0): name: can.bus 1 has it too");
  EXPECT_EQ(bus("obd = \"on\"\n"), "can.bus 1 (can0): obd: 'on' is not off, 11bit or 29bit");
  EXPECT_EQ(bus("obd = \"11bit\"\nlisten_only = true\n"),
            "can.bus 1 (can0): obd: controllers have to be asked, which listen_only forbids");
  EXPECT_EQ(bus("dbc = \"nowhere.dbc\"\n"), "can.bus 1 (can0): dbc: nowhere.dbc: cannot be read");
  EXPECT_THAT(bus("dbc = \"truck.dbc, broken.dbc\"\n"), HasSubstr("can.bus 1 (can0): dbc: broken.dbc:3: "));
  EXPECT_THAT(bus("send_allow = \"7DF,xyz\"\n"), HasSubstr("can.bus 1 (can0): send_allow: "));
}

TEST(CanPlan, SaysWhatIsWrongWithCanOpenNodes) {
  const auto nodes = [](absl::string_view text) { return Error(WithBus(absl::StrCat("canopen = \"", text, "\"\n"))); };
  EXPECT_EQ(nodes("5"), "can.bus 1 (can0): canopen: '5' is not NODE=SILENCE, such as 5=1s");
  EXPECT_EQ(nodes("0=1s"), "can.bus 1 (can0): canopen: there is no node 0, only 1 to 127");
  EXPECT_EQ(nodes("128=1s"), "can.bus 1 (can0): canopen: there is no node 128, only 1 to 127");
  EXPECT_EQ(nodes("5=1s,5=2s"), "can.bus 1 (can0): canopen: node 5 is given twice");
  for (const char* silence : {"1", "0s", "-1s", "25h", "inf"}) {
    EXPECT_THAT(nodes(absl::StrCat("5=", silence)), HasSubstr("is not a duration such as 500ms")) << silence;
  }
}

TEST(CanPlan, SaysWhatIsWrongWithASource) {
  const auto source = [](absl::string_view text) { return Error(WithSource(text)); };
  EXPECT_EQ(source("dbc:ECC1.EngineSpeed"),
            "can.signal 1 (engine/rpm): no message \"ECC1\" in truck.dbc; did you mean EEC1?");
  EXPECT_EQ(source("dbc:EEC1.EnginSpeed"),
            "can.signal 1 (engine/rpm): message EEC1 has no signal \"EnginSpeed\"; did you mean EngineSpeed?");
  EXPECT_EQ(source("dbc:EngineSpeed"), "can.signal 1 (engine/rpm): 'EngineSpeed' is not MESSAGE.SIGNAL");
  EXPECT_EQ(source("dcb:EEC1.EngineSpeed"),
            "can.signal 1 (engine/rpm): source \"dcb:EEC1.EngineSpeed\" is not dbc:MESSAGE.SIGNAL, obd:PID or "
            "spn:NUMBER; did you mean dbc?");
  EXPECT_EQ(source("obd:rpm"), "can.signal 1 (engine/rpm): 'rpm' is not a PID in hex, such as obd:0C");
  EXPECT_THAT(source("obd:FE"), HasSubstr("can.signal 1 (engine/rpm): PID FE is not known; these are: 01 04 05"));
  EXPECT_THAT(source("obd:10C"), HasSubstr("PID 10C is not known"));
  EXPECT_EQ(source("spn:speed"), "can.signal 1 (engine/rpm): 'speed' is not a number, such as spn:190");
  EXPECT_THAT(source("spn:191"), HasSubstr("can.signal 1 (engine/rpm): SPN 191 is not known; these are: "));
}

TEST(CanPlan, ASourceNeedsABusThatSpeaksIt) {
  const auto on_plain_bus = [](absl::string_view source) {
    return Error(WithBus(absl::StrCat("[[can.signal]]\ntopic = \"a/b\"\nbus = \"can0\"\nsource = \"", source, "\"\n")));
  };
  EXPECT_EQ(on_plain_bus("dbc:EEC1.EngineSpeed"), "can.signal 1 (a/b): its bus has no dbc");
  EXPECT_EQ(on_plain_bus("obd:0C"), "can.signal 1 (a/b): obd of bus can0 is off; set it to 11bit or 29bit");
  EXPECT_EQ(on_plain_bus("spn:190"), "can.signal 1 (a/b): j1939 of bus can0 is false; set it to true");
  EXPECT_EQ(Error(WithSource("obd:0C", "period = \"off\"\n")),
            "can.signal 1 (engine/rpm): period: OBD-II values need one, to be asked for");
}

TEST(CanPlan, AMessageInTwoFilesIsAmbiguous) {
  EXPECT_EQ(Error(WithBus(R"(dbc = "truck.dbc,twin.dbc"
[[can.signal]]
topic = "engine/rpm"
bus = "can0"
source = "dbc:EEC1.EngineSpeed"
)")),
            "can.signal 1 (engine/rpm): message EEC1 is in both truck.dbc and twin.dbc");
}

TEST(CanPlan, SaysWhatIsWrongWithASignal) {
  const auto signal = [](absl::string_view topic, absl::string_view bus, absl::string_view keys) {
    return Error(absl::StrCat(WithSource("dbc:Drive.Mode"), "[[can.signal]]\ntopic = \"", topic, "\"\nbus = \"", bus,
                              "\"\nsource = \"dbc:Drive.Torque\"\n", keys));
  };
  EXPECT_EQ(signal("rpm", "can0", ""),
            "can.signal 2 (rpm): topic: two or more parts of A-Z a-z 0-9 . _ - with / between them, at most 64 bytes");
  EXPECT_EQ(signal("engine/rpm", "can0", ""), "can.signal 2 (engine/rpm): topic: can.signal 1 has it too");
  for (const char* own : {"command/ack", "can/can0/rx", "modbus/response", "gateway/uptime", "security/auth_failures",
                          "diagnostics/dtc", "diagnostics/fuse"}) {
    EXPECT_EQ(signal(own, "can0", ""),
              absl::StrCat("can.signal 2 (", own, "): topic: the device itself publishes there"));
  }
  EXPECT_EQ(signal("a/b", "cna0", ""), "can.signal 2 (a/b): bus: there is no can.bus \"cna0\"; did you mean can0?");
  EXPECT_EQ(signal("a/b", "can0", "labels = \"0=N,0=P\"\n"), "can.signal 2 (a/b): labels: '0=N' and '0=P' overlap");
}

TEST(CanPlan, SaysWhatIsWrongWithCompatibleTunnels) {
  const auto bases = [](absl::string_view text) {
    return Error(WithBus(absl::StrCat("[[can.bus]]\nname = \"can1\"\ninterface = \"socketcan:can1\"\n",
                                      "[can.compat]\nbases = \"", text, "\"\n")));
  };
  EXPECT_EQ(bases("can0=can,can1=car7"), "OK");
  EXPECT_EQ(bases("can"), "can.compat.bases: 'can' is not BUS=BASE, such as can0=can");
  EXPECT_EQ(bases("can2=can"), "can.compat.bases: there is no can.bus \"can2\"; did you mean can0?");
  EXPECT_EQ(bases("can0=a/b"), "can.compat.bases: base \"a/b\": one level of a topic, of A-Z a-z 0-9 . _ -");
  EXPECT_EQ(bases("can0=+"), "can.compat.bases: base \"+\": one level of a topic, of A-Z a-z 0-9 . _ -");
  EXPECT_EQ(bases("can0=server"), "can.compat.bases: base \"server\" is where the fleet itself speaks");
  EXPECT_EQ(bases("can0=can,can1=can"), "can.compat.bases: base \"can\" is given twice");
  EXPECT_EQ(bases("can0=can,can0=car"), "can.compat.bases: bus can0 is given twice");
}

TEST(CanPlan, IsBounded) {
  std::string buses, signals = WithBus("dbc = \"truck.dbc\"\n");
  for (size_t i = 0; i <= kMaxCanBuses; ++i) {
    absl::StrAppend(&buses, "[[can.bus]]\nname = \"b", i, "\"\ninterface = \"socketcan:can", i, "\"\n");
  }
  EXPECT_EQ(Error(buses), "can.bus 17 (b16): there may be at most 16");
  v1::CanConfig config;
  *config.add_bus() = [] {
    v1::CanBusConfig bus;
    bus.set_name("can0");
    bus.set_dbc("truck.dbc");
    return bus;
  }();
  for (size_t i = 0; i <= kMaxCanSignals; ++i) {
    v1::CanSignalConfig& signal = *config.add_signal();
    signal.set_topic(absl::StrCat("a/", i));
    signal.set_bus("can0");
    signal.set_source("dbc:Drive.Torque");
  }
  EXPECT_EQ(MakeCanPlan(config, ReadTestFile).status().message(),
            "can.signal 4097 (a/4096): there may be at most 4096");
}

// ---- the configurations that we ship

std::string ReadExample(const std::string& name) {
  std::ifstream file(absl::StrCat(FLEET_SOURCE_DIR, "/examples/can/", name));
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

CanPlan PlanOfExample(const std::string& name) {
  const absl::StatusOr<CanPlan> plan =
      PlanOf(ReadExample(name), [](absl::string_view path) { return ReadExample(std::string(path)); });
  EXPECT_TRUE(plan.ok()) << name << ": " << plan.status();
  return plan.value_or(CanPlan());
}

std::map<std::string, SignalOptions> ByTopic(const CanPlan& plan) {
  std::map<std::string, SignalOptions> signals;
  for (const SignalOptions& signal : plan.signals) signals[signal.topic] = signal;
  return signals;
}

constexpr const char* kTree[] = {"engine/rpm",    "engine/coolant_temp", "engine/load",
                                 "vehicle/speed", "vehicle/odometer",    "vehicle/gear_status"};

std::vector<std::string> MissingOfTree(const std::map<std::string, SignalOptions>& signals) {
  std::vector<std::string> missing;
  for (const char* topic : kTree) {
    if (!signals.contains(topic)) missing.emplace_back(topic);
  }
  return missing;
}

TEST(CanExamples, ACarTellsWhatObdKnows) {
  const CanPlan plan = PlanOfExample("car-obd.toml");
  const std::map<std::string, SignalOptions> signals = ByTopic(plan);
  EXPECT_THAT(MissingOfTree(signals), ElementsAre("vehicle/gear_status"));
  EXPECT_EQ(signals.at("engine/rpm").period, absl::Milliseconds(100));
  EXPECT_EQ(signals.at("engine/coolant_temp").period, absl::Seconds(1));
  EXPECT_EQ(plan.buses.at(0).obd->pids.size(), plan.signals.size());
  EXPECT_EQ(plan.buses.at(0).obd->dtc_period, absl::Seconds(10));
}

TEST(CanExamples, ACarWithADbcFileTellsTheWholeTree) {
  const CanPlan plan = PlanOfExample("car-dbc.toml");
  const std::map<std::string, SignalOptions> signals = ByTopic(plan);
  EXPECT_THAT(MissingOfTree(signals), ElementsAre());
  const SignalOptions& gear = signals.at("vehicle/gear_status");
  EXPECT_EQ(SignalText(0, gear.decimals, gear.labels), "P");
  EXPECT_EQ(SignalText(3, gear.decimals, gear.labels), "D");
}

TEST(CanExamples, ATruckTellsTheWholeTree) {
  const CanPlan plan = PlanOfExample("truck-j1939.toml");
  const std::map<std::string, SignalOptions> signals = ByTopic(plan);
  EXPECT_THAT(MissingOfTree(signals), ElementsAre());
  EXPECT_TRUE(plan.buses.at(0).j1939);
  const SignalOptions& gear = signals.at("vehicle/gear_status");
  const auto text = [&](double value) { return SignalText(value, gear.decimals, gear.labels); };
  EXPECT_EQ(text(126), "P");
  EXPECT_EQ(text(-125), "R");
  EXPECT_EQ(text(0), "N");
  EXPECT_EQ(text(125), "D");
}

}  // namespace
}  // namespace fleet::device
