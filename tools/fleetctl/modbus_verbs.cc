#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_json.h"
#include "common/status_macros.h"
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kServerWaits = absl::Seconds(25);  // at most, for the end of a command

// What to do about it.
constexpr std::array<std::pair<absl::string_view, absl::string_view>, 14> kAdvice = {
    {{"unknown_device", "[[modbus.unit]] in the device's configuration names its units"},
     {"not_allowed", "[[modbus.write]] in the device's configuration says what may be written"},
     {"out_of_range", "--type and --scale say what fits"},
     {"too_soon", "try again; rate_hz of [[modbus.write]] in the device's configuration bounds it"},
     {"no_answer", "is the unit on, and are its address and the speed of its bus right?"},
     {"set_aside", "it is asked again by itself; is the unit on?"},
     {"timeout", "the web bridge took more than 10 s; is it well?"},
     {"not_connected", "is the bus there? [[modbus.bus]] in the device's configuration has its interface"},
     {"expired", "--ttl makes it wait longer"},
     {"not_sent", "--ttl makes it wait longer"},
     {"overloaded", "try again"},
     {"busy", "try again"},
     {"illegal_function", "the unit does not do that; --fc has others"},
     {"illegal_data_address", "the unit has nothing there; addresses count from 0, and --fc chooses the table"}}};

std::string AdviceFor(absl::string_view reason) {
  for (const auto& [code, advice] : kAdvice) {
    if (code == reason) return absl::StrCat("; ", advice);
  }
  return "";
}

// Why there is no answer.
absl::Status WhyNot(const v1::CommandView& command) {
  const std::string how = absl::StrCat("fleetctl command ", command.command_id(), " --wait");
  if (command.state() == "unknown") {
    return absl::UnknownError(absl::StrCat("nobody knows whether ", command.device_id(), " did ", command.summary(),
                                           ": ", WhyOf(command), "; when it is back: ", how));
  }
  if (!IsEnd(command.state())) {
    return absl::DeadlineExceededError(absl::StrCat(command.device_id(), " did not ", command.summary(), " yet, it is ",
                                                    command.state(), "; what becomes of it: ", how));
  }
  return absl::AbortedError(absl::StrCat(command.device_id(), " did not ", command.summary(), ": ", WhyOf(command),
                                         AdviceFor(command.reason())));
}

// "meter 10056  42", a line for each value.
std::string Lines(const v1::ModbusCallRequest& request, const std::vector<std::string>& values, uint32_t step) {
  std::string lines;
  uint32_t address = request.address();
  for (const std::string& value : values) {
    absl::StrAppend(&lines, request.device_id(), " ", address, "  ", Printable(value),
                    request.has_values() ? "  written\n" : "\n");
    address += step;
  }
  return lines;
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const ModbusVerb& verb) {
  v1::ModbusCallRequest request = verb.request;
  request.set_by(Asker());
  std::string text;
  RETURN_IF_ERROR(
      session.client.Post(absl::StrCat("/api/v1/devices/", verb.device, "/modbus"), request, text, kServerWaits));
  v1::ModbusAnswer answer;
  RETURN_IF_ERROR(ParseAnswer(text, answer));
  if (session.json()) {
    session.screen.out << text;
    return answer.success() ? kDone : kFailed;
  }
  if (!answer.success()) return WhyNot(answer.command());
  // The same text as `response`, which protobuf would not read exactly.
  const auto& steps = answer.command().steps();
  const std::string response = steps.empty() ? "" : steps.rbegin()->detail();
  const std::optional<std::vector<std::string>> values = ModbusValueTexts(response);
  if (values) {
    session.screen.out << Lines(request, *values, verb.registers_per_value);
  } else {
    session.screen.out << Printable(absl::StrCat(answer.command().summary(), ": done")) << '\n';
  }
  return kDone;
}

}  // namespace fleet
