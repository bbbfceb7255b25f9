#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "google/protobuf/empty.pb.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(3);

// One device that was told to stop. Over when it is stopped or something is wrong.
struct Stop {
  v1::StopResult result;
  bool stopped = false;
  bool over() const { return stopped || !result.error().empty(); }
};

Stop Refused(const std::string& device, absl::string_view error) {
  Stop stop;
  stop.result.set_device_id(device);
  stop.result.set_error(std::string(error));
  return stop;
}

// A device that refuses is a result to shout about; a device that does not exist, or no server, is an error.
absl::StatusOr<std::vector<Stop>> StopOne(Session& session, const std::string& device) {
  v1::CancelResult answer;
  const absl::Status status =
      session.client.Post(absl::StrCat("/api/v1/devices/", device, "/stop"), v1::CancelRequest(), answer);
  if (IsUnreachable(status) || absl::IsNotFound(status) || absl::IsCancelled(status)) return status;
  if (!status.ok()) return std::vector<Stop>{Refused(device, status.message())};
  if (answer.commands().empty() || answer.commands().rbegin()->kind() != "cancel") {
    return std::vector<Stop>{Refused(device, "the server sent it nothing")};
  }
  Stop stop;
  stop.result.set_device_id(device);
  stop.result.set_command_id(answer.commands().rbegin()->command_id());
  return std::vector<Stop>{std::move(stop)};
}

absl::StatusOr<std::vector<Stop>> StopAll(Session& session) {
  v1::StopAllResult answer;
  RETURN_IF_ERROR(session.client.Post("/api/v1/stop", v1::CancelRequest(), answer));
  std::vector<Stop> stops;
  for (v1::StopResult& result : *answer.mutable_devices()) {
    Stop& stop = stops.emplace_back();
    stop.result = std::move(result);
    if (!stop.over() && stop.result.command_id().empty()) stop.result.set_error("the server sent it nothing");
  }
  return stops;
}

void PrintStopped(Session& session, const v1::CommandView& command) {
  if (session.json()) return;
  const double ms = command.steps().empty() ? 0 : command.steps().rbegin()->since_issue_ms();
  session.screen.out << HumanStepTime(ms) << "  " << Paint("stopped", Colour::kGreen, session.screen.style()) << "  "
                     << Printable(command.device_id()) << std::endl;
}

// A server that cannot be reached for a moment is asked again.
absl::Status Ask(Session& session, Stop& stop) {
  v1::CommandView command;
  // Not longer than it matters.
  const absl::Status status =
      session.client.Get(CommandPath(stop.result.command_id()), {}, command, kPatience - Client::kAnswerTimeout);
  if (absl::IsCancelled(status)) return absl::CancelledError("stopped waiting; the stops are on their way");
  if (!status.ok()) return absl::OkStatus();
  if (command.state() == "done") {
    stop.stopped = true;
    PrintStopped(session, command);
  } else if (IsEnd(command.state()) && command.state() != "unknown") {
    stop.result.set_error(absl::StrCat("its stop ended as ", command.state(), " ", WhyOf(command)));
  }
  return absl::OkStatus();
}

absl::Status AwaitStops(Session& session, std::vector<Stop>& stops) {
  const MonoTime until = session.clock.Read().mono + kPatience;
  const auto all_over = [&] { return std::all_of(stops.begin(), stops.end(), [](const Stop& s) { return s.over(); }); };
  while (!all_over() && session.clock.Read().mono < until) {
    for (Stop& stop : stops) {
      if (!stop.over() && session.clock.Read().mono < until) RETURN_IF_ERROR(Ask(session, stop));
    }
    if (!all_over() && !session.interrupt.Pause(session.poll_period)) {
      return absl::CancelledError("stopped waiting; the stops are on their way");
    }
  }
  for (Stop& stop : stops) {
    if (stop.over()) continue;
    stop.result.set_error(absl::StrCat("no word of it in ", absl::FormatDuration(kPatience), ": fleetctl command ",
                                       stop.result.command_id(), " --wait"));
  }
  return absl::OkStatus();
}

void PrintNotStopped(Session& session, const std::vector<Stop>& stops) {
  for (const Stop& stop : stops) {
    if (stop.stopped) continue;
    const std::string line = absl::StrCat("NOT STOPPED: ", stop.result.device_id(), ": ", stop.result.error());
    session.screen.out << Paint(Printable(line), Colour::kRed, session.screen.style()) << "\n";
  }
}

// Devices that are offline were not told; who stops all wants to know that there are some.
std::string OfflineNote(Session& session) {
  v1::FleetSummary summary;
  if (!session.client.Get("/api/v1/status", {}, summary).ok() || summary.offline() == 0) return "";
  return absl::StrCat("; ", Plural(summary.offline(), "device"), " offline and not told: fleetctl status");
}

void PrintSummary(Session& session, const std::vector<Stop>& stops, bool of_all) {
  const auto stopped = std::count_if(stops.begin(), stops.end(), [](const Stop& stop) { return stop.stopped; });
  const bool good = stopped == static_cast<int64_t>(stops.size());
  session.screen.out << Paint(absl::StrCat(stopped, " of ", Plural(static_cast<double>(stops.size()), "device"),
                                           " stopped", of_all ? OfflineNote(session) : ""),
                              good ? Colour::kBold : Colour::kRed, session.screen.style())
                     << "\n";
}

v1::StopAllResult ResultOf(const std::vector<Stop>& stops) {
  v1::StopAllResult result;
  for (const Stop& stop : stops) *result.add_devices() = stop.result;
  return result;
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const StopVerb& verb) {
  absl::StatusOr<std::vector<Stop>> stops = verb.device.empty() ? StopAll(session) : StopOne(session, verb.device);
  if (IsUnreachable(stops.status())) {
    return UnreachableError(absl::StrCat("NOTHING WAS STOPPED as far as is known: ", stops.status().message()));
  }
  if (!stops.ok()) return stops.status();
  RETURN_IF_ERROR(AwaitStops(session, *stops));
  if (session.json()) {
    session.screen.out << ToJson(ResultOf(*stops));
  } else {
    PrintNotStopped(session, *stops);
    PrintSummary(session, *stops, verb.device.empty());
  }
  return std::all_of(stops->begin(), stops->end(), [](const Stop& s) { return s.stopped; }) ? kDone : kFailed;
}

}  // namespace fleet
