#include "tools/fleetctl/verbs.h"

#include "absl/strings/str_cat.h"
#include "common/http_server.h"

namespace fleet {

namespace {

// What is not there was probably misspelt.
absl::Status WithHint(const absl::Status& error, const Verb& verb) {
  if (!absl::IsNotFound(error)) return error;
  const auto* cancel = std::get_if<CancelVerb>(&verb);
  const bool of_command = std::holds_alternative<CommandVerb>(verb) || std::holds_alternative<ReconcileVerb>(verb) ||
                          (cancel != nullptr && !cancel->command.empty());
  if (const auto* telemetry = std::get_if<TelemetryVerb>(&verb); telemetry != nullptr && !telemetry->signals.empty()) {
    return absl::NotFoundError(absl::StrCat(error.message(), "; fleetctl devices lists devices, fleetctl telemetry ",
                                            telemetry->device, " its signals"));
  }
  const absl::string_view list = of_command ? "commands" : "devices";
  return absl::NotFoundError(absl::StrCat(error.message(), "; fleetctl ", list, " lists what there is"));
}

}  // namespace

ExitCode RunVerb(Session& session, const Verb& verb) {
  const absl::StatusOr<ExitCode> code = std::visit([&](const auto& v) { return Run(session, v); }, verb);
  session.screen.out.flush();
  if (code.ok()) return *code;
  PrintError(session, WithHint(code.status(), verb));
  return IsUnreachable(code.status()) ? kNoServer : kFailed;
}

void PrintError(Session& session, const absl::Status& error) {
  const std::string message(error.message());
  if (!session.json()) {
    session.screen.err << "fleetctl: " << Printable(message) << std::endl;
    return;
  }
  v1::ErrorBody body;
  body.set_code(absl::StatusCodeToString(error.code()));
  body.set_message(message);
  session.screen.err << ToJson(body) << std::flush;
}

Colour ColourOfDevice(absl::string_view state) {
  if (state == "online") return Colour::kGreen;
  if (state == "stale") return Colour::kYellow;
  if (state == "offline") return Colour::kRed;
  return Colour::kGrey;
}

Colour ColourOfCommand(absl::string_view state) {
  if (state == "done") return Colour::kGreen;
  if (state == "rejected" || state == "failed" || state == "expired") return Colour::kRed;
  if (state == "superseded" || state == "cancelled" || state == "unknown") return Colour::kYellow;
  return Colour::kNone;
}

std::string TargetOf(const v1::CommandView& command) {
  if (command.entity_id() == 0) return command.device_id();
  return absl::StrCat(command.device_id(), "/", command.entity_id());
}

}  // namespace fleet
