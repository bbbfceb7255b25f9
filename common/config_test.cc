#include "common/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/config_rules.h"
#include "fleet/v1/config.pb.h"
#include "google/protobuf/util/message_differencer.h"

namespace fleet {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const ProgramInfo kServer{.name = "fleet-server", .summary = "Tracks a fleet."};
const ProgramInfo kDevice{.name = "fleet-device", .summary = "Runs on a vehicle."};

template <typename ConfigT>
ConfigT Defaults() {
  ConfigT config;
  ApplyDefaults(config);
  return config;
}

std::string ServerError(absl::string_view toml) {
  v1::ServerConfig config;
  const absl::Status status = ApplyToml(toml, "server.toml", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << toml;
  return std::string(status.message());
}

std::string DeviceError(absl::string_view toml) {
  v1::DeviceConfig config;
  const absl::Status status = ApplyToml(toml, "device.toml", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << toml;
  return std::string(status.message());
}

std::string ValueError(absl::string_view key, absl::string_view value) {
  v1::DeviceConfig config;
  const absl::Status status = ApplyValue(key, value, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key << " " << value;
  return std::string(status.message());
}

// Runs LoadConfig as main would.
struct Loaded {
  std::optional<int> exit_code;
  std::string out;
  std::string err;
};
Loaded Load(const ProgramInfo& program, std::vector<const char*> flags, google::protobuf::Message& config) {
  flags.insert(flags.begin(), "program");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Loaded loaded;
  loaded.exit_code = LoadConfig(program, static_cast<int>(flags.size()), flags.data(), config);
  loaded.out = ::testing::internal::GetCapturedStdout();
  loaded.err = ::testing::internal::GetCapturedStderr();
  return loaded;
}

std::string LoadError(const ProgramInfo& program, std::vector<const char*> flags) {
  v1::ServerConfig server;
  v1::DeviceConfig device;
  google::protobuf::Message& config = &program == &kServer ? static_cast<google::protobuf::Message&>(server) : device;
  const Loaded loaded = Load(program, std::move(flags), config);
  EXPECT_EQ(loaded.exit_code, 2);
  EXPECT_EQ(loaded.out, "");
  return loaded.err;
}

class TestFile {
 public:
  explicit TestFile(absl::string_view text) : path_(::testing::TempDir() + "config_test.XXXXXX") {
    close(mkstemp(path_.data()));
    std::ofstream(path_) << text;
  }
  ~TestFile() { unlink(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

class TestEnvironment {
 public:
  TestEnvironment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~TestEnvironment() { unsetenv(name_); }

 private:
  const char* const name_;
};

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// ---- values

TEST(ConfigDefaults, AreThoseOfTheRules) {
  const auto device = Defaults<v1::DeviceConfig>();
  EXPECT_EQ(device.broker().url(), "tcp://127.0.0.1:1883");
  EXPECT_THAT(device.entities(), ElementsAre(1));
  EXPECT_EQ(device.state_rate_hz(), 10);
  EXPECT_EQ(ToAbsl(device.heartbeat_period()), absl::Milliseconds(500));
  EXPECT_EQ(device.http().listen(), "") << "off";
  EXPECT_EQ(ToAbsl(Defaults<v1::ServerConfig>().patrol()), absl::ZeroDuration()) << "off";
  EXPECT_EQ(Defaults<v1::SimConfig>().seed(), 1u);
}

TEST(ConfigToml, SetsEveryTypeAndLeavesTheRest) {
  auto config = Defaults<v1::DeviceConfig>();
  ASSERT_TRUE(ApplyToml("id = 'pi'\nentities = [1, 2, 3]\nstate_rate_hz = 0.1\nheartbeat_period = '1.5s'\n"
                        "[http]\nlisten = '127.0.0.1:9000'\n",
                        "device.toml", config)
                  .ok());
  EXPECT_EQ(config.id(), "pi");
  EXPECT_THAT(config.entities(), ElementsAre(1, 2, 3));
  EXPECT_EQ(config.state_rate_hz(), 0.1);
  EXPECT_EQ(ToAbsl(config.heartbeat_period()), absl::Milliseconds(1500));
  EXPECT_EQ(config.http().listen(), "127.0.0.1:9000");
  EXPECT_EQ(config.driver(), "simulated");
}

TEST(ConfigToml, WholeNumberIsFineForAFraction) {
  v1::DeviceConfig config;
  EXPECT_TRUE(ApplyToml("state_rate_hz = 5", "device.toml", config).ok());
  EXPECT_EQ(config.state_rate_hz(), 5);
}

TEST(ConfigToml, OffIsZeroOnlyWhereTheRuleSaysSo) {
  auto config = Defaults<v1::ServerConfig>();
  ASSERT_TRUE(ApplyToml("patrol = '3s'", "server.toml", config).ok());
  EXPECT_EQ(ToAbsl(config.patrol()), absl::Seconds(3));
  ASSERT_TRUE(ApplyToml("patrol = 'off'", "server.toml", config).ok());
  EXPECT_EQ(ToAbsl(config.patrol()), absl::ZeroDuration());
  EXPECT_THAT(ServerError("[liveness]\nstale_after = 'off'"), HasSubstr("'off' is not a duration"));
}

// ---- mistakes in a file

TEST(ConfigToml, UnknownKeyNamesTheNearest) {
  EXPECT_EQ(ServerError("\n[liveness]\nstale_afer = '1s'\n"),
            "server.toml:3: liveness.stale_afer: unknown key; did you mean liveness.stale_after?");
  EXPECT_EQ(ServerError("stale_after = '1s'"),
            "server.toml:1: stale_after: unknown key; did you mean liveness.stale_after?");
  EXPECT_EQ(ServerError("[livenes]\nstale_after = '1s'"),
            "server.toml:1: livenes: unknown key; did you mean [liveness]?");
  EXPECT_EQ(ServerError("entirely_different = 1"), "server.toml:1: entirely_different: unknown key");
}

TEST(ConfigToml, WrongTypeIsRefused) {
  EXPECT_EQ(ServerError("[http]\nlisten = 8080"),
            "server.toml:2: http.listen: wrong type: expected text, got a whole number");
  EXPECT_EQ(ServerError("[http]\nmax_streams = '8'"),
            "server.toml:2: http.max_streams: wrong type: expected a whole number, 0 or more, got text");
  EXPECT_EQ(ServerError("[http]\nmax_streams = 8.5"),
            "server.toml:2: http.max_streams: wrong type: expected a whole number, 0 or more, got a number");
  EXPECT_EQ(ServerError("patrol = 3"),
            "server.toml:1: patrol: wrong type: expected a duration such as 500ms, 3s, 10m or 24h, got a whole number");
  EXPECT_EQ(DeviceError("state_rate_hz = '10'"),
            "device.toml:1: state_rate_hz: wrong type: expected a number, got text");
  EXPECT_THAT(DeviceError("entities = 1"), StartsWith("device.toml:1: entities: wrong type: expected a list"));
  EXPECT_THAT(DeviceError("entities = [1, '2']"), HasSubstr("got text"));
  EXPECT_THAT(DeviceError("id = 2020-01-01"), HasSubstr("got a date"));
}

TEST(ConfigToml, SectionAndKeyAreNotTakenForEachOther) {
  EXPECT_EQ(ServerError("http = '127.0.0.1:80'"), "server.toml:1: http: is a section, not a key");
  EXPECT_THAT(ServerError("[patrol]\nevery = '3s'"), StartsWith("server.toml:1: patrol: wrong type"));
}

TEST(ConfigToml, ValueOutOfRangeIsRefusedWithTheBound) {
  EXPECT_EQ(ServerError("[liveness]\nstale_after = '5ms'"),
            "server.toml:2: liveness.stale_after: 5ms is below the minimum 100ms");
  EXPECT_EQ(ServerError("[liveness]\nstale_after = '2h'"),
            "server.toml:2: liveness.stale_after: 2h is above the maximum 1h");
  EXPECT_EQ(ServerError("[store]\nkeep_mib = 8"), "server.toml:2: store.keep_mib: 8 is below the minimum 16 MiB");
  EXPECT_EQ(DeviceError("state_rate_hz = -0.5"), "device.toml:1: state_rate_hz: -0.5 is below the minimum 0 Hz");
  EXPECT_EQ(DeviceError("entities = [1, 0]"), "device.toml:1: entities: 0 is below the minimum 1");
  EXPECT_EQ(DeviceError("entities = [4294967296]"),
            "device.toml:1: entities: 4294967296 is above the maximum 4294967295");
  EXPECT_THAT(ServerError("[http]\nmax_streams = -1"), HasSubstr("'-1' is not a whole number"));
  EXPECT_THAT(DeviceError("state_rate_hz = inf"), HasSubstr("'inf' is not a number"));
}

TEST(ConfigToml, SyntaxErrorHasItsLine) {
  EXPECT_THAT(ServerError("patrol = '3s'\n\n[http\n"), StartsWith("server.toml:3: "));
  EXPECT_THAT(ServerError("patrol = 3s"), StartsWith("server.toml:1: "));
}

TEST(ConfigToml, LettersBeyondAsciiAreForTextAndCommentsOnly) {
  v1::DeviceConfig config;
  EXPECT_TRUE(ApplyToml("# größe\nid = 'größe'", "device.toml", config).ok());
  EXPECT_EQ(config.id(), "größe");
  EXPECT_THAT(DeviceError("größe = 1"), StartsWith("device.toml:1: "));
  EXPECT_THAT(DeviceError("id = größe"), StartsWith("device.toml:1: "));
  EXPECT_THAT(DeviceError("id ä 1"), StartsWith("device.toml:1: "));
}

TEST(ConfigToml, KeyGivenTwiceIsRefused) {
  EXPECT_THAT(ServerError("patrol = '3s'\npatrol = '4s'"), StartsWith("server.toml:2: "));
  EXPECT_THAT(ServerError("[http]\n[log]\n[http]\n"), StartsWith("server.toml:3: "));
}

// ---- values as text

TEST(ConfigToml, EachTableOfAListHasItsDefaults) {
  v1::DeviceConfig config;
  ASSERT_EQ(ApplyToml("[[can.bus]]\nname = 'can0'\ninterface = 'socketcan:can0'\n"
                      "[[can.bus]]\nname = 'can1'\ninterface = 'replay:x'\nlisten_only = true\nbitrate = 250000\n",
                      "device.toml", config),
            absl::OkStatus());
  ASSERT_EQ(config.can().bus_size(), 2);
  EXPECT_EQ(config.can().bus(0).name(), "can0");
  EXPECT_EQ(config.can().bus(0).bitrate(), 500'000);
  EXPECT_FALSE(config.can().bus(0).listen_only());
  EXPECT_EQ(ToAbsl(config.can().bus(0).max_tap()), absl::Hours(1));
  EXPECT_EQ(config.can().bus(1).name(), "can1");
  EXPECT_EQ(config.can().bus(1).bitrate(), 250'000);
  EXPECT_TRUE(config.can().bus(1).listen_only());
}

TEST(ConfigToml, MistakeInAListNamesTheTable) {
  const std::string bus = "[[can.bus]]\nname = 'can0'\ninterface = 'socketcan:can0'\n";
  EXPECT_EQ(DeviceError(bus + "[[can.bus]]\nname = 'can1'\ninterfase = 'x'\n"),
            "device.toml:6: can.bus 2: interfase: unknown key; did you mean interface?");
  EXPECT_EQ(DeviceError(bus + "bitrate = 1\n"),
            "device.toml:4: can.bus 1: bitrate: 1 is below the minimum 10000 bit/s");
  EXPECT_EQ(DeviceError(bus + "[[can.bus]]\nname = 'can1'\n"), "device.toml:4: can.bus 2: interface: is required");
  EXPECT_EQ(DeviceError("[[can.buss]]\nname = 'can0'\n"),
            "device.toml:1: can.buss: unknown key; did you mean [[can.bus]]?");
  EXPECT_EQ(DeviceError("[can.bus]\nname = 'can0'\n"),
            "device.toml:1: can.bus: is a list of tables: write [[can.bus]] above each");
  EXPECT_EQ(DeviceError("[can]\nbus = 3\n"),
            "device.toml:2: can.bus: is a list of tables: write [[can.bus]] above each");
}

TEST(ConfigValue, TakesWhatACommandLineHolds) {
  v1::DeviceConfig config;
  EXPECT_TRUE(ApplyValue("entities", "1, 2,3", config).ok());
  EXPECT_THAT(config.entities(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(ApplyValue("entities", "4", config).ok());
  EXPECT_THAT(config.entities(), ElementsAre(4)) << "replaced, not added to";
  EXPECT_TRUE(ApplyValue("http.listen", "off", config).ok());
  EXPECT_EQ(config.http().listen(), "");
  v1::SimConfig sim;
  EXPECT_TRUE(ApplyValue("seed", "18446744073709551615", sim).ok());
  EXPECT_EQ(sim.seed(), 18446744073709551615u);
}

TEST(ConfigValue, RefusesWhatIsNotOfItsType) {
  EXPECT_EQ(ValueError("entities", "1,x"), "entities: 'x' is not a whole number, 0 or more");
  EXPECT_EQ(ValueError("heartbeat_period", "1"),
            "heartbeat_period: '1' is not a duration such as 500ms, 3s, 10m or 24h");
  EXPECT_THAT(ValueError("heartbeat_period", "inf"), HasSubstr("is not a duration"));
  EXPECT_THAT(ValueError("heartbeat_period", "-1s"), HasSubstr("is not a duration"));
  EXPECT_THAT(ValueError("state_rate_hz", "nan"), HasSubstr("is not a number"));
  EXPECT_EQ(ValueError("broker", "x"), "broker: unknown key; did you mean [broker]?");
  EXPECT_EQ(ValueError("hearbeat_period", "1s"), "hearbeat_period: unknown key; did you mean heartbeat_period?");
}

TEST(ConfigValue, RefusedListLeavesTheOldOne) {
  auto config = Defaults<v1::DeviceConfig>();
  EXPECT_FALSE(ApplyValue("entities", "7,0", config).ok());
  EXPECT_THAT(config.entities(), ElementsAre(1));
}

TEST(ConfigRequired, MissingKeyIsNamedWithTheWaysToGiveIt) {
  v1::DeviceConfig config;
  const absl::Status status = CheckRequired(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "id: is required: give --id, set FLEET_ID, or write it in the file");
  config.set_id("pi");
  EXPECT_TRUE(CheckRequired(config).ok());
}

// ---- whole programs

TEST(LoadConfig, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const TestFile file("[broker]\nurl = 'tcp://file:1'\nusername = 'file'\npassword_file = 'file'\n");
  const TestEnvironment url("FLEET_BROKER_URL", "tcp://env:1");
  const TestEnvironment user("FLEET_BROKER_USERNAME", "env");
  v1::ServerConfig config;
  EXPECT_EQ(Load(kServer, {"--config", file.path(), "--broker", "tcp://flag:1"}, config).exit_code, std::nullopt);
  EXPECT_EQ(config.broker().url(), "tcp://flag:1");
  EXPECT_EQ(config.broker().username(), "env");
  EXPECT_EQ(config.broker().password_file(), "file");
  EXPECT_EQ(ToAbsl(config.broker().keepalive()), absl::Seconds(5));
}

TEST(LoadConfig, OtherVariablesOfTheSameShapeAreIgnored) {
  const TestEnvironment port("FLEET_BROKER_PORT", "tcp://172.17.0.2:1883");
  const TestEnvironment section("FLEET_BROKER", "x");
  v1::ServerConfig config;
  EXPECT_EQ(Load(kServer, {}, config).exit_code, std::nullopt);
  EXPECT_TRUE(MessageDifferencer::Equals(config, Defaults<v1::ServerConfig>()));
}

TEST(LoadConfig, ServerFlagsAreAsPromised) {
  for (const bool with_equals : {false, true}) {
    v1::ServerConfig config;
    const auto flags =
        with_equals ? std::vector<const char*>{"--broker=tcp://b:1", "--http=0.0.0.0:81", "--data=/d", "--patrol=3s"}
                    : std::vector<const char*>{"--broker", "tcp://b:1", "--http",   "0.0.0.0:81",
                                               "--data",   "/d",        "--patrol", "3s"};
    EXPECT_EQ(Load(kServer, flags, config).exit_code, std::nullopt);
    EXPECT_EQ(config.broker().url(), "tcp://b:1");
    EXPECT_EQ(config.http().listen(), "0.0.0.0:81");
    EXPECT_EQ(config.store().dir(), "/d");
    EXPECT_EQ(ToAbsl(config.patrol()), absl::Seconds(3));
  }
}

TEST(LoadConfig, DeviceFlagsAreAsPromised) {
  v1::DeviceConfig config;
  EXPECT_EQ(Load(kDevice,
                 {"--id", "pi", "--broker", "tcp://b:1", "--entities", "1,2,3", "--data", "/d", "--http", "off",
                  "--state-rate-hz", "2.5", "--command-key-file", "/k", "--broker.keepalive", "9s"},
                 config)
                .exit_code,
            std::nullopt);
  EXPECT_EQ(config.id(), "pi");
  EXPECT_EQ(config.broker().url(), "tcp://b:1");
  EXPECT_THAT(config.entities(), ElementsAre(1, 2, 3));
  EXPECT_EQ(config.data_dir(), "/d");
  EXPECT_EQ(config.http().listen(), "");
  EXPECT_EQ(config.state_rate_hz(), 2.5);
  EXPECT_EQ(config.command_key_file(), "/k");
  EXPECT_EQ(ToAbsl(config.broker().keepalive()), absl::Seconds(9));
}

TEST(LoadConfig, SimFlagsAreAsPromised) {
  v1::SimConfig config;
  EXPECT_EQ(Load({.name = "fleet-sim", .summary = ""},
                 {"--devices", "5", "--entities=2", "--broker", "tcp://b:1", "--duration", "10s", "--seed", "9",
                  "--state-rate-hz=1"},
                 config)
                .exit_code,
            std::nullopt);
  EXPECT_EQ(config.devices(), 5u);
  EXPECT_EQ(config.entities(), 2u);
  EXPECT_EQ(config.broker().url(), "tcp://b:1");
  EXPECT_EQ(ToAbsl(config.duration()), absl::Seconds(10));
  EXPECT_EQ(config.seed(), 9u);
  EXPECT_EQ(config.state_rate_hz(), 1);
}

TEST(LoadConfig, LastOfARepeatedFlagCountsAndAnEmptyValueIsEmpty) {
  v1::ServerConfig config;
  EXPECT_EQ(Load(kServer, {"--data", "/a", "--data=/b", "--broker.username=", "--log-level", "warn"}, config).exit_code,
            std::nullopt);
  EXPECT_EQ(config.store().dir(), "/b");
  EXPECT_EQ(config.broker().username(), "");
  EXPECT_EQ(config.log().level(), "warn");
}

TEST(LoadConfig, MistakesAreOneLineAndExitCode2) {
  EXPECT_EQ(LoadError(kServer, {"--patrol", "5ms"}), "fleet-server: --patrol: 5ms is below the minimum 100ms\n");
  EXPECT_EQ(LoadError(kServer, {"--brokr", "x"}), "fleet-server: --brokr: unknown flag; did you mean --broker?\n");
  EXPECT_EQ(LoadError(kServer, {"--qqqqqq=1"}), "fleet-server: --qqqqqq: unknown flag; --help lists them\n");
  EXPECT_EQ(LoadError(kServer, {"start"}), "fleet-server: unexpected argument 'start'\n");
  EXPECT_THAT(LoadError(kServer, {"--patrol"}), StartsWith("fleet-server: --patrol"));
  EXPECT_EQ(LoadError(kServer, {"--config", "/no/such.toml"}),
            "fleet-server: /no/such.toml: cannot be read: No such file or directory\n");
  EXPECT_EQ(LoadError(kServer, {"--config", "/"}), "fleet-server: /: cannot be read: Is a directory\n");
  EXPECT_THAT(LoadError(kDevice, {}), StartsWith("fleet-device: id: is required"));
}

TEST(LoadConfig, MistakeInTheEnvironmentNamesTheVariable) {
  const TestEnvironment environment("FLEET_LIVENESS_STALE_AFTER", "5ms");
  EXPECT_EQ(LoadError(kServer, {}), "fleet-server: FLEET_LIVENESS_STALE_AFTER: 5ms is below the minimum 100ms\n");
}

TEST(LoadConfig, MistakeInTheFileNamesFileAndLine) {
  const TestFile file("\n\npatrol = '5ms'\n");
  EXPECT_EQ(LoadError(kServer, {"--config", file.path()}),
            absl::StrCat("fleet-server: ", file.path(), ":3: patrol: 5ms is below the minimum 100ms\n"));
}

TEST(LoadConfig, EmptyFileIsFine) {
  const TestFile file("");
  v1::ServerConfig config;
  EXPECT_EQ(Load(kServer, {"--config", file.path()}, config).exit_code, std::nullopt);
}

TEST(LoadConfig, HelpNamesEveryFlagWithDefaultRangeAndMeaning) {
  v1::ServerConfig config;
  const Loaded help = Load(kServer, {"--help"}, config);
  EXPECT_EQ(help.exit_code, 0);
  for (const ConfigKey& key : ConfigKeysOf(*config.GetDescriptor())) {
    EXPECT_THAT(help.out, HasSubstr(key.rule().doc()));
    for (const std::string& flag : ConfigFlagNames(key)) EXPECT_THAT(help.out, HasSubstr(flag));
  }
  EXPECT_THAT(help.out, HasSubstr("[default 1s; 100ms to 1h]"));
  EXPECT_THAT(help.out, HasSubstr("[default off; 100ms to 1h or off]"));
  EXPECT_THAT(help.out, HasSubstr("--store.keep_mib MIB"));
}

TEST(LoadConfig, VersionIsProgramAndNumber) {
  v1::DeviceConfig config;
  const Loaded version = Load(kDevice, {"--version"}, config);
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, absl::StrCat("fleet-device ", FLEET_VERSION, "\n"));
}

// ---- the example files

template <typename ConfigT>
void ExampleIsCurrentAndHoldsTheDefaults(const std::string& name, ConfigT expected) {
  const std::string path = absl::StrCat(FLEET_SOURCE_DIR, "/docs/config/", name);
  const std::string text = ReadFile(path);
  EXPECT_EQ(text, ExampleToml(*ConfigT::descriptor())) << "make it again with --example-config";
  ConfigT loaded;
  EXPECT_EQ(ApplyToml(text, name, loaded), absl::OkStatus());
  EXPECT_EQ(CheckRequired(loaded), absl::OkStatus());
  MessageDifferencer differencer;
  differencer.set_message_field_comparison(MessageDifferencer::EQUIVALENT);  // an empty section may be absent
  EXPECT_TRUE(differencer.Compare(loaded, expected)) << loaded.DebugString() << expected.DebugString();
}

TEST(ConfigExample, FilesAreCurrentAndHoldTheDefaults) {
  ExampleIsCurrentAndHoldsTheDefaults("server.toml", Defaults<v1::ServerConfig>());
  ExampleIsCurrentAndHoldsTheDefaults("sim.toml", Defaults<v1::SimConfig>());
  auto device = Defaults<v1::DeviceConfig>();
  device.set_id("rpi-1");
  ExampleIsCurrentAndHoldsTheDefaults("device.toml", device);
}

TEST(ConfigExample, FlagPrintsIt) {
  v1::DeviceConfig config;
  const Loaded example = Load(kDevice, {"--example-config"}, config);
  EXPECT_EQ(example.exit_code, 0);
  EXPECT_EQ(example.out, ExampleToml(*config.GetDescriptor()));
}

TEST(ConfigKeys, HaveNamesForFlagAndEnvironmentWithoutClashes) {
  for (const auto* descriptor :
       {v1::ServerConfig::descriptor(), v1::DeviceConfig::descriptor(), v1::SimConfig::descriptor()}) {
    std::map<std::string, std::string> owner;
    for (const ConfigKey& key : ConfigKeysOf(*descriptor)) {
      std::vector<std::string> names = ConfigFlagNames(key);
      names.push_back(ConfigEnvironmentName(key));
      for (const std::string& name : names) {
        EXPECT_TRUE(owner.emplace(name, key.name).second) << name << " is " << key.name << " and " << owner[name];
      }
    }
  }
}

}  // namespace
}  // namespace fleet
