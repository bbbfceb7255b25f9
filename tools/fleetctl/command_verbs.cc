#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "google/protobuf/empty.pb.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kReconcilePatience = absl::Seconds(5);

// The device has said something, and it is not taken back by its silence.
bool IsAnswered(absl::string_view state) {
  return state != "unknown" && state != "queued" && state != "sent";
}

std::string CommandTable(const v1::CommandList& list, const Session& session) {
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
  return table.Render(session.screen.style());
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const SegmentVerb& verb) {
  v1::CommandView command;
  RETURN_IF_ERROR(
      session.client.Post(absl::StrCat("/api/v1/devices/", verb.device, "/segments"), verb.request, command));
  if (verb.wait) return Follow(session, std::move(command));
  PrintCommand(session, command);
  PrintHint(session, command);
  if (session.json()) session.screen.out << ToJson(command);
  return CodeFor(command);
}

absl::StatusOr<ExitCode> Run(Session& session, const CommandsVerb& verb) {
  v1::CommandList list;
  RETURN_IF_ERROR(FetchUpTo(session.client, "/api/v1/commands", {{"device", verb.device}}, verb.limit, list,
                            [](v1::CommandList& page) { return page.mutable_commands(); }));
  session.screen.out << (session.json() ? ToJson(list) : CommandTable(list, session));
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const CommandVerb& verb) {
  v1::CommandView command;
  RETURN_IF_ERROR(session.client.Get(CommandPath(verb.id), {}, command));
  if (verb.wait) return Follow(session, std::move(command));
  PrintCommand(session, command);
  if (command.state() == "unknown") PrintHint(session, command);
  if (session.json()) session.screen.out << ToJson(command);
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const ReconcileVerb& verb) {
  v1::CommandView command;
  RETURN_IF_ERROR(
      session.client.Post(absl::StrCat(CommandPath(verb.id), "/reconcile"), google::protobuf::Empty(), command));
  PrintCommand(session, command);
  const MonoTime until = session.clock.Read().mono + kReconcilePatience;
  RETURN_IF_ERROR(FollowSteps(session, command, {.over = IsAnswered, .at = until}));
  if (session.json()) session.screen.out << ToJson(command);
  if (IsAnswered(command.state())) return CodeFor(command);
  if (!session.json()) session.screen.out << "no answer yet\n";
  PrintHint(session, command);
  return kFailed;
}

}  // namespace fleet
