// fleet-device: the agent of one device.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/broker_options.h"
#include "common/can/open_can_bus.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/event_loop.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "device/app.h"
#include "device/can/can_plan.h"
#include "device/config_page.h"
#include "device/external_driver.h"
#include "device/fail_safe.h"
#include "device/life.h"
#include "device/local_access.h"
#include "device/modbus/modbus_plan.h"
#include "device/simulated_driver.h"
#include "device/spool.h"
#include "device/startup_memory.h"
#include "fleet/v1/config.pb.h"

namespace fleet::device {
namespace {

constexpr int kUsageError = 2;
constexpr absl::string_view kReplay = "replay:";

absl::StatusOr<std::vector<DrivenEntity>> MakeEntities(const v1::DeviceConfig& config) {
  if (config.driver() != "simulated" && config.driver() != "external") {
    return absl::InvalidArgumentError(absl::StrCat("driver: '", config.driver(), "' is not simulated or external"));
  }
  if (config.entities_size() > static_cast<int>(Agent::kMaxEntities)) {
    return absl::InvalidArgumentError(absl::StrCat("entities: ", config.entities_size(), " are more than 256"));
  }
  std::vector<DrivenEntity> entities;
  std::set<uint32_t> seen;
  for (const uint32_t id : config.entities()) {
    if (!seen.insert(id).second) return absl::InvalidArgumentError(absl::StrCat("entities: ", id, " is there twice"));
    DrivenEntity& entity = entities.emplace_back(DrivenEntity{.id = EntityId{id}, .driver = nullptr});
    if (config.driver() == "external") {
      entity.driver = std::make_unique<ExternalDriver>();
    } else {
      entity.driver = std::make_unique<SimulatedDriver>();
    }
  }
  return entities;
}

absl::StatusOr<FailSafeOptions> MakeFailSafe(const v1::DeviceConfig& device) {
  const v1::FailSafeConfig& config = device.fail_safe();
  FailSafeOptions options{.after = ToAbsl(config.after())};
  const auto policy = ParseFailSafePolicy(config.policy());
  if (!policy.ok()) return absl::InvalidArgumentError(absl::StrCat("fail_safe.policy: ", policy.status().message()));
  options.policy = *policy;
  absl::StatusOr<EntityPolicies> entities = ParseEntityPolicies(config.entities());
  if (!entities.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("fail_safe.entities: ", entities.status().message()));
  }
  options.entities = *std::move(entities);
  for (const auto& [entity, policy_of_it] : options.entities) {
    if (std::ranges::find(device.entities(), Number(entity)) != device.entities().end()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("fail_safe.entities: this device has no entity ", Number(entity), "; see the key entities"));
  }
  return options;
}

// A card that has become read-only or full must not keep a vehicle silent: then there is no spool, no segment runs that
// would be forgotten, and everybody is told.
void OpenSpool(const v1::DeviceConfig& config, AppOptions& options) {
  const SpoolBounds bounds{.keep_bytes = size_t{config.spool().keep_mib()} << 20,
                           .keep = ToAbsl(config.spool().keep())};
  absl::StatusOr<std::unique_ptr<SpoolFile>> file =
      SpoolFile::Open(absl::StrCat(config.data_dir(), "/", SpoolFile::kFileName), bounds);
  if (!file.ok()) {
    LogError(
        "no spool, so no segments are run, and a restart forgets what the server does not have; make room and restart "
        "error={}",
        file.status().message());
    options.spool_problem = std::string(file.status().message());
    return;
  }
  const SpoolContents& contents = (*file)->contents();
  if (!contents.damaged.empty()) LogError("spool was damaged and is begun anew error={}", contents.damaged);
  LogInfo("spool opened events={} telemetry={} commands={}", contents.totals.event_records,
          contents.totals.telemetry_records, contents.commands.size());
  options.spool = *std::move(file);
}

// DBC files and recordings are where the configuration is that names them.
std::string Beside(const std::string& config_file, absl::string_view name) {
  return std::filesystem::path(config_file).parent_path() / std::string(name);
}

std::string InterfaceBeside(const std::string& config_file, absl::string_view interface) {
  if (!absl::ConsumePrefix(&interface, kReplay)) return std::string(interface);
  return absl::StrCat(kReplay, Beside(config_file, interface));
}

absl::StatusOr<std::string> ReadBeside(const std::string& config_file, absl::string_view name) {
  const std::string path = Beside(config_file, name);
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  return text.str();
}

absl::Status OpenBuses(const v1::DeviceConfig& config, const std::string& config_file, AppOptions& options) {
  const auto read = [&](absl::string_view name) { return ReadBeside(config_file, name); };
  ASSIGN_OR_RETURN(options.agent.can, MakeCanPlan(config.can(), read));
  for (const BusPlan& bus : options.agent.can.buses) {
    absl::StatusOr<std::unique_ptr<CanBus>> opened =
        OpenCanBus({.interface = InterfaceBeside(config_file, bus.interface),
                    .bitrate = bus.bitrate,
                    .listen_only = bus.listen_only,
                    .replay_speed = bus.replay_speed,
                    .replay_loop = bus.replay_loop});
    if (!opened.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("can.bus ", options.can.size() + 1, " (", bus.name,
                                                     ").interface: ", std::string(opened.status().message())));
    }
    options.can.push_back(*std::move(opened));
  }
  return absl::OkStatus();
}

// All but what depends on the data directory.
absl::StatusOr<AppOptions> MakeOptions(const v1::DeviceConfig& config, const std::string& config_file) {
  ASSIGN_OR_RETURN(const DeviceId id, DeviceId::Parse(config.id()));
  ASSIGN_OR_RETURN(LinkOptions link, ToLinkOptions(config.broker()));
  ASSIGN_OR_RETURN(std::vector<DrivenEntity> entities, MakeEntities(config));
  ASSIGN_OR_RETURN(FailSafeOptions fail_safe, MakeFailSafe(config));
  ASSIGN_OR_RETURN(LocalAccess access, ReadLocalAccess(config.http()));
  AppOptions options{.link = std::move(link),
                     .agent = {.device = id,
                               .version = FLEET_VERSION,
                               .heartbeat_period = ToAbsl(config.heartbeat_period()),
                               .state_period = PeriodOf(config.state_rate_hz()),
                               .gateway_period = ToAbsl(config.gateway().period()),
                               .summary_period = ToAbsl(config.summary().period()),
                               .fail_safe = std::move(fail_safe),
                               .entities = std::move(entities),
                               .can = {},
                               .modbus = {}},
                     .http = std::move(access),
                     .config_page = ConfigPage(config),
                     .spool = nullptr,
                     .spool_problem = {},
                     .can = {}};
  if (!config.command_key_file().empty()) {
    ASSIGN_OR_RETURN(options.agent.command_key, CommandKey::Load(config.command_key_file()));
  }
  RETURN_IF_ERROR(OpenBuses(config, config_file, options));
  std::vector<std::string> topics;
  for (const SignalOptions& signal : options.agent.can.signals) topics.push_back(signal.topic);
  ASSIGN_OR_RETURN(options.agent.modbus, MakeModbusPlan(config.modbus(), topics));
  return options;
}

// A mistake in the configuration, or something of another's in the way: one line, and the exit code.
int Complain(const absl::Status& status) {
  std::cerr << "fleet-device: " << status.message() << std::endl;
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? kUsageError : 1;
}

int Main(int argc, char** argv) {
  v1::DeviceConfig config;
  std::string config_file;
  const ProgramInfo program{.name = "fleet-device", .summary = "The agent of one device in a fleet."};
  if (const std::optional<int> exit_code = LoadConfig(program, argc, argv, config, &config_file)) return *exit_code;
  if (absl::Status status = StartLogging("fleet-device", config.log().level()); !status.ok()) return Complain(status);

  absl::StatusOr<AppOptions> options = MakeOptions(config, config_file);
  if (!options.ok()) return Complain(options.status());
  const absl::StatusOr<Life> life = Life::Begin(config.data_dir());
  if (!life.ok()) return Complain(life.status());

  OpenSpool(config, *options);

  google::protobuf::SetLogHandler(nullptr);  // it logs bad bytes without limit; we count them
  const SystemClock clock;
  EventLoop loop(clock);
  loop.StopOnSignals();
  options->agent.epoch = life->epoch();
  options->agent.started_unix_ms = clock.Read().unix_ms();
  const absl::StatusOr<std::unique_ptr<App>> app = App::Open(*std::move(options), clock, loop);
  if (!app.ok()) return Complain(app.status());

  LogInfo("device started device_id={} epoch={} broker={}", config.id(), life->epoch(), config.broker().url());
  ReleaseStartupMemory();
  const absl::Status goodbye = (*app)->Run();
  LogInfo("device stopped device_id={} goodbye={}", config.id(), goodbye.ToString());
  return 0;
}

}  // namespace
}  // namespace fleet::device

int main(int argc, char** argv) {
  return fleet::device::Main(argc, argv);
}
