#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

std::string PathOf(const CancelVerb& verb) {
  if (!verb.command.empty()) return absl::StrCat(CommandPath(verb.command), "/cancel");
  const std::string device = absl::StrCat("/api/v1/devices/", verb.device);
  return verb.entity == 0 ? absl::StrCat(device, "/cancel")
                          : absl::StrCat(device, "/entities/", verb.entity, "/cancel");
}

// What had not been sent yet and so has ended already.
void PrintEnded(Session& session, const v1::CommandView& command) {
  session.screen.out << Printable(absl::StrCat("command ", command.command_id(), " to ", TargetOf(command), ": ",
                                               command.summary(), ": "))
                     << Paint(Printable(command.state()), ColourOfCommand(command.state()), session.screen.style())
                     << Printable(absl::StrCat("  ", WhyOf(command))) << std::endl;
}

void Print(Session& session, const v1::CancelResult& result) {
  if (session.json()) return;
  for (const v1::CommandView& command : result.commands()) {
    if (command.kind() == "cancel") {
      PrintCommand(session, command);
    } else {
      PrintEnded(session, command);
    }
  }
  if (result.commands().empty()) session.screen.out << "there was nothing to take back\n";
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const CancelVerb& verb) {
  v1::CancelResult result;
  RETURN_IF_ERROR(session.client.Post(PathOf(verb), v1::CancelRequest(), result));
  Print(session, result);
  // What went to the device, if anything did, comes last.
  const bool sent = !result.commands().empty() && result.commands().rbegin()->kind() == "cancel";
  ExitCode code = kDone;
  if (sent) {
    v1::CommandView& command = *result.mutable_commands()->rbegin();
    if (verb.wait) RETURN_IF_ERROR(FollowSteps(session, command, {.over = IsEnd}));
    PrintHint(session, command);
    code = CodeFor(command);
  }
  if (session.json()) session.screen.out << ToJson(result);
  return code;
}

}  // namespace fleet
