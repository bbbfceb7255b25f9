#include "tools/fleetctl/follow.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kLongPoll = absl::Seconds(20);  // the server allows 25

std::string WhyOfStep(const v1::CommandStepView& step) {
  const absl::string_view between = step.reason().empty() || step.detail().empty() ? "" : ": ";
  return absl::StrCat(step.reason(), between, step.detail());
}

void PrintSteps(Session& session, const v1::CommandView& command, int from) {
  if (session.json()) return;
  for (int i = from; i < command.steps_size(); ++i) {
    const v1::CommandStepView& step = command.steps(i);
    const std::string why = Printable(WhyOfStep(step));
    session.screen.out << HumanStepTime(step.since_issue_ms()) << "  "
                       << Paint(Printable(step.state()), ColourOfCommand(step.state()), session.screen.style())
                       << (why.empty() ? "" : "  ") << why << std::endl;
  }
}

// The command once it has more steps than `command`, or after `patience` as it is.
absl::StatusOr<v1::CommandView> AwaitStep(Session& session, const v1::CommandView& command, absl::Duration patience) {
  v1::CommandView next;
  const absl::Status status = session.client.Get(CommandPath(command.command_id()),
                                                 {{"after_steps", absl::StrCat(command.steps_size())},
                                                  {"timeout_ms", absl::StrCat(absl::ToInt64Milliseconds(patience))}},
                                                 next, patience);
  if (status.ok()) return next;
  const std::string go_on =
      absl::StrCat("command ", command.command_id(), " goes on without us: fleetctl command ", command.command_id());
  if (absl::IsCancelled(status)) return absl::CancelledError(absl::StrCat("stopped waiting; ", go_on));
  if (IsUnreachable(status)) return UnreachableError(absl::StrCat(status.message(), "; ", go_on));
  return status;
}

}  // namespace

bool IsEnd(absl::string_view state) {
  static constexpr std::array<absl::string_view, 7> kEnds = {"done",       "rejected",  "failed", "expired",
                                                             "superseded", "cancelled", "unknown"};
  return std::find(kEnds.begin(), kEnds.end(), state) != kEnds.end();
}

ExitCode CodeFor(const v1::CommandView& command) {
  return IsEnd(command.state()) && command.state() != "done" ? kFailed : kDone;
}

std::string CommandPath(absl::string_view command_id) {
  return absl::StrCat("/api/v1/commands/", command_id);
}

std::string WhyOf(const v1::CommandView& command) {
  if (command.steps().empty()) return command.reason();
  return WhyOfStep(command.steps(command.steps_size() - 1));
}

std::string StateAndWhy(const v1::CommandView& command) {
  const std::string why = WhyOf(command);
  return absl::StrCat(command.state(), why.empty() ? "" : ": ", why);
}

void PrintCommand(Session& session, const v1::CommandView& command) {
  if (session.json()) return;
  session.screen.out << Printable(absl::StrCat("command ", command.command_id(), " to ", TargetOf(command), ": ",
                                               command.summary(), ", time to live ",
                                               absl::FormatDuration(absl::Milliseconds(command.ttl_ms()))))
                     << std::endl;
  PrintSteps(session, command, 0);
}

void PrintHint(Session& session, const v1::CommandView& command) {
  const std::string id = Printable(command.command_id());
  if (session.json()) return;
  if (command.state() == "unknown" && command.reason() == "memory_lost") {
    session.screen.out << "nobody will ever know: the device's memory does not reach back so far\n";
  } else if (command.state() == "unknown") {
    session.screen.out << "it resolves by itself when the device is back: fleetctl command " << id
                       << " --wait; to ask now: fleetctl command reconcile " << id << "\n";
  } else if (!IsEnd(command.state())) {
    session.screen.out << "what becomes of it: fleetctl command " << id << " --wait\n";
  }
}

absl::Status FollowSteps(Session& session, v1::CommandView& command, const Until& until) {
  while (!until.over(command.state())) {
    const absl::Duration left = until.at - session.clock.Read().mono;
    if (left < absl::Milliseconds(1)) return absl::OkStatus();
    ASSIGN_OR_RETURN(v1::CommandView next, AwaitStep(session, command, std::min(left, kLongPoll)));
    PrintSteps(session, next, command.steps_size());
    command = std::move(next);
  }
  return absl::OkStatus();
}

absl::StatusOr<ExitCode> Follow(Session& session, v1::CommandView command) {
  PrintCommand(session, command);
  RETURN_IF_ERROR(FollowSteps(session, command, {.over = IsEnd}));
  if (session.json()) session.screen.out << ToJson(command);
  PrintHint(session, command);
  return CodeFor(command);
}

}  // namespace fleet
