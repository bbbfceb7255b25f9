// One command and what becomes of it, for the verbs that send, show and take back commands.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// Nothing more happens to it, or, as `unknown`, not until its device is back.
bool IsEnd(absl::string_view state);
// 0 for what went well or is still under way.
ExitCode CodeFor(const v1::CommandView& command);
// /api/v1/commands/ID
std::string CommandPath(absl::string_view command_id);
// The last step's reason and detail: "unknown_entity: no entity 9". Empty when it went well.
std::string WhyOf(const v1::CommandView& command);
// "rejected: unknown_entity: no entity 9"
std::string StateAndWhy(const v1::CommandView& command);

// Who and what, and each step with its milliseconds. Nothing in JSON.
void PrintCommand(Session& session, const v1::CommandView& command);
// How to see what becomes of it, when it has not ended for good. Nothing in JSON.
void PrintHint(Session& session, const v1::CommandView& command);

struct Until {
  bool (*over)(absl::string_view state);
  MonoTime at = MonoTime::Max();
};
// Shows the steps of a command that was printed as they come. `command` is then as it was last seen. Errors say that
// the command goes on without us.
absl::Status FollowSteps(Session& session, v1::CommandView& command, const Until& until);

// Shows a command and its steps until the last one; in JSON only the command at its end.
absl::StatusOr<ExitCode> Follow(Session& session, v1::CommandView command);

}  // namespace fleet
