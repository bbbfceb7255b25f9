// The verbs. Each prints its result; an error that it returns has not been printed yet.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/command_line.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// fleet_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const StatusVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const DevicesVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const DeviceVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const HistoryVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const DeviceIdsVerb& verb);
// command_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const SegmentVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const CommandsVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const CommandVerb& verb);
// watch.cc
absl::StatusOr<ExitCode> Run(Session& session, const WatchVerb& verb);
// completion.cc
absl::StatusOr<ExitCode> Run(Session& session, const CompletionVerb& verb);

// Colours that mean the same everywhere.
Colour ColourOfDevice(absl::string_view state);
Colour ColourOfCommand(absl::string_view state);
// "pi-1/2", or "pi-1" for a command that is for the whole device.
std::string TargetOf(const v1::CommandView& command);

}  // namespace fleet
