#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr uint32_t kPageSize = 500;
constexpr absl::Duration kLongPoll = absl::Seconds(20);  // the server allows 25

bool IsEnd(absl::string_view state) {
  static constexpr std::array<absl::string_view, 7> kEnds = {"done",       "rejected",  "failed", "expired",
                                                             "superseded", "cancelled", "unknown"};
  return std::find(kEnds.begin(), kEnds.end(), state) != kEnds.end();
}

// 0 for what went well or is still under way.
ExitCode CodeFor(const v1::CommandView& command) {
  return IsEnd(command.state()) && command.state() != "done" ? kFailed : kDone;
}

std::string PathOf(absl::string_view command_id) {
  return absl::StrCat("/api/v1/commands/", command_id);
}

void PrintHead(Session& session, const v1::CommandView& command) {
  session.screen.out << Printable(absl::StrCat("command ", command.command_id(), " to ", TargetOf(command), ": ",
                                               command.summary(), ", time to live ",
                                               absl::FormatDuration(absl::Milliseconds(command.ttl_ms()))))
                     << std::endl;
}

std::string WhyOfStep(const v1::CommandStepView& step) {
  const absl::string_view between = step.reason().empty() || step.detail().empty() ? "" : ": ";
  return Printable(absl::StrCat(step.reason(), between, step.detail()));
}

void PrintSteps(Session& session, const v1::CommandView& command, int from) {
  for (int i = from; i < command.steps_size(); ++i) {
    const v1::CommandStepView& step = command.steps(i);
    const std::string why = WhyOfStep(step);
    session.screen.out << HumanStepTime(step.since_issue_ms()) << "  "
                       << Paint(Printable(step.state()), ColourOfCommand(step.state()), session.screen.style())
                       << (why.empty() ? "" : "  ") << why << std::endl;
  }
}

// The command once it has more steps than `command`, or after a while as it is.
absl::StatusOr<v1::CommandView> AwaitStep(Session& session, const v1::CommandView& command) {
  v1::CommandView next;
  const absl::Status status = session.client.Get(PathOf(command.command_id()),
                                                 {{"after_steps", absl::StrCat(command.steps_size())},
                                                  {"timeout_ms", absl::StrCat(absl::ToInt64Milliseconds(kLongPoll))}},
                                                 next, kLongPoll);
  if (status.ok()) return next;
  const std::string go_on =
      absl::StrCat("command ", command.command_id(), " goes on without us: fleetctl command ", command.command_id());
  if (absl::IsCancelled(status)) return absl::CancelledError(absl::StrCat("stopped waiting; ", go_on));
  if (IsUnreachable(status)) return UnreachableError(absl::StrCat(status.message(), "; ", go_on));
  return status;
}

// Shows the steps as they come until the last one.
absl::StatusOr<ExitCode> Follow(Session& session, v1::CommandView command) {
  if (!session.json()) {
    PrintHead(session, command);
    PrintSteps(session, command, 0);
  }
  while (!IsEnd(command.state())) {
    ASSIGN_OR_RETURN(v1::CommandView next, AwaitStep(session, command));
    if (!session.json()) PrintSteps(session, next, command.steps_size());
    command = std::move(next);
  }
  if (session.json()) session.screen.out << ToJson(command);
  return CodeFor(command);
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const SegmentVerb& verb) {
  v1::CommandView command;
  RETURN_IF_ERROR(
      session.client.Post(absl::StrCat("/api/v1/devices/", verb.device, "/segments"), verb.request, command));
  if (verb.wait) return Follow(session, std::move(command));
  if (session.json()) {
    session.screen.out << ToJson(command);
  } else {
    PrintHead(session, command);
    PrintSteps(session, command, 0);
    if (!IsEnd(command.state())) {
      session.screen.out << "what becomes of it: fleetctl command " << Printable(command.command_id()) << " --wait\n";
    }
  }
  return CodeFor(command);
}

absl::StatusOr<ExitCode> Run(Session& session, const CommandsVerb& verb) {
  v1::CommandList list;
  std::string cursor;
  do {
    const uint32_t left = verb.limit - static_cast<uint32_t>(list.commands_size());
    v1::CommandList page;
    RETURN_IF_ERROR(session.client.Get(
        "/api/v1/commands",
        {{"limit", absl::StrCat(std::min(left, kPageSize))}, {"cursor", cursor}, {"device", verb.device}}, page));
    list.mutable_commands()->MergeFrom(page.commands());
    // A page without commands would be the last one whatever it says.
    cursor = page.commands().empty() ? "" : page.next_cursor();
  } while (!cursor.empty() && static_cast<uint32_t>(list.commands_size()) < verb.limit);
  list.set_next_cursor(cursor);
  if (session.json()) {
    session.screen.out << ToJson(list);
    return kDone;
  }
  Table table({{"ID", Table::Align::kRight}, {"ISSUED"}, {"TARGET"}, {"STATE"}, {"REASON"}, {"COMMAND"}});
  for (const v1::CommandView& command : list.commands()) {
    const absl::Time issued = absl::FromUnixMillis(static_cast<int64_t>(command.issued_unix_ms()));
    table.Add({{command.command_id()},
               {HumanTime(issued, session.here())},
               {TargetOf(command)},
               {command.state(), ColourOfCommand(command.state())},
               {command.reason()},
               {command.summary()}});
  }
  session.screen.out << table.Render(session.screen.style());
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const CommandVerb& verb) {
  v1::CommandView command;
  RETURN_IF_ERROR(session.client.Get(PathOf(verb.id), {}, command));
  if (verb.wait) return Follow(session, std::move(command));
  if (session.json()) {
    session.screen.out << ToJson(command);
  } else {
    PrintHead(session, command);
    PrintSteps(session, command, 0);
  }
  return kDone;
}

}  // namespace fleet
