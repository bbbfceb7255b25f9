#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/tap.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

// Frames as a person or a program wants them.
class Dump {
 public:
  Dump(Session& session, bool log) : session_(session), log_(log) {}

  void Take(const v1::CanTapEvent& event) {
    text_.clear();
    if (session_.json()) {
      text_ = ToJson(event);
    } else {
      for (const std::string& line : event.frames()) Append(Printable(line));
    }
    session_.screen.out << text_ << std::flush;
  }

 private:
  void Append(const std::string& line) {
    if (log_) {
      text_ += line;
    } else if (const absl::StatusOr<CandumpLine> parsed = ParseCandumpLine(line); parsed.ok()) {
      indent_standard_ = indent_standard_ || parsed->frame.is(kCanExtended);
      AppendCandumpView(parsed->frame, parsed->bus, text_, indent_standard_);
    } else {
      text_ += line;  // of a newer server
    }
    text_ += '\n';
  }

  Session& session_;
  const bool log_;
  bool indent_standard_ = false;  // as candump does it
  std::string text_;
};

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const CanDumpVerb& verb) {
  ASSIGN_OR_RETURN(const v1::CommandView tap, StartTap(session, BusPath(verb.device, verb.bus), verb.tap));
  Notes notes(session.screen.err);
  Dump dump(session, verb.log);
  return ReadTap(session, tap, notes, [&dump](const v1::CanTapEvent& event) { dump.Take(event); });
}

absl::StatusOr<ExitCode> Run(Session& session, const CanSendVerb& verb) {
  v1::CanSendRequest request = verb.request;
  request.set_by(Asker());
  v1::CommandView command;
  RETURN_IF_ERROR(session.client.Post(absl::StrCat(BusPath(verb.device, verb.bus), "/send"), request, command));
  return Follow(session, std::move(command));
}

}  // namespace fleet
