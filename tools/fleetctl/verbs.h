// The verbs. Each prints its result; an error that it returns has not been printed yet.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/command_line.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// status_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const StatusVerb& verb);
// fleet_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const DevicesVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const DeviceVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const DeviceIdsVerb& verb);
// history_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const HistoryVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const LivenessVerb& verb);
// command_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const SegmentVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const CommandsVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const CommandVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const ReconcileVerb& verb);
// group_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const GroupVerb& verb);
// cancel_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const CancelVerb& verb);
// stop_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const StopVerb& verb);
// ledger_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const LedgerVerb& verb);
// events_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const EventsVerb& verb);
// quarantine_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const QuarantineVerb& verb);
// telemetry_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const TelemetryVerb& verb);
// dtc_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const DtcVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const ClearDtcsVerb& verb);
// can_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const CanDumpVerb& verb);
absl::StatusOr<ExitCode> Run(Session& session, const CanSendVerb& verb);
// bridge_verb.cc
absl::StatusOr<ExitCode> Run(Session& session, const CanBridgeVerb& verb);
// modbus_verbs.cc
absl::StatusOr<ExitCode> Run(Session& session, const ModbusVerb& verb);
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
