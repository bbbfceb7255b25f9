// fleet-sim: a fleet of agents for demonstrations, load and tests.
#include <sys/resource.h>

#include <iostream>
#include <memory>
#include <optional>

#include "common/broker_options.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/event_loop.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "fleet/v1/config.pb.h"
#include "tools/fleet_sim/sim.h"

namespace fleet {
namespace {

constexpr int kUsageError = 2;
constexpr rlim_t kFilesOfTheProcess = 64;  // besides one socket per agent

// kResourceExhausted: the system allows fewer connections than there are devices.
absl::Status AllowFiles(uint32_t devices) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t wanted = devices + kFilesOfTheProcess;
  if (limit.rlim_cur >= wanted) return absl::OkStatus();
  limit.rlim_cur = wanted;
  limit.rlim_max = std::max(limit.rlim_max, wanted);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("this system does not allow ", wanted, " open files: ulimit -n ", wanted));
}

absl::StatusOr<SimOptions> MakeOptions(const v1::SimConfig& config) {
  ASSIGN_OR_RETURN(LinkOptions link, ToLinkOptions(config.broker()));
  link.no_delay = false;  // nobody waits for a simulated device, and finding each socket among thousands takes long
  return SimOptions{.link = std::move(link),
                    .id_prefix = config.id_prefix(),
                    .devices = config.devices(),
                    .entities = config.entities(),
                    .state_rate_hz = config.state_rate_hz(),
                    .seed = config.seed(),
                    .duration = ToAbsl(config.duration())};
}

int Complain(const absl::Status& status) {
  std::cerr << "fleet-sim: " << status.message() << std::endl;
  return absl::IsInvalidArgument(status) ? kUsageError : 1;
}

int Main(int argc, char** argv) {
  v1::SimConfig config;
  const ProgramInfo program{.name = "fleet-sim", .summary = "Many device agents in one process, for load and tests."};
  if (const std::optional<int> exit_code = LoadConfig(program, argc, argv, config)) return *exit_code;
  if (absl::Status status = StartLogging("fleet-sim", config.log().level()); !status.ok()) return Complain(status);
  if (absl::Status status = AllowFiles(config.devices()); !status.ok()) return Complain(status);
  const absl::StatusOr<SimOptions> options = MakeOptions(config);
  if (!options.ok()) return Complain(options.status());

  const SystemClock clock;
  EventLoop loop(clock);
  loop.StopOnSignals();
  const absl::StatusOr<std::unique_ptr<Sim>> sim = Sim::Open(*options, clock, loop);
  if (!sim.ok()) return Complain(sim.status());
  const absl::Status status = (*sim)->Run();
  std::cout << (*sim)->Summary() << std::endl;
  return status.ok() ? 0 : Complain(status);
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  return fleet::Main(argc, argv);
}
