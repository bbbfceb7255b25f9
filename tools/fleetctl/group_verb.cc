#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/device_text.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/group_run.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(10);  // beyond the time to live: a restart of the server, and more

// Those that are online first, so that they need not wait for what cannot start.
absl::StatusOr<std::deque<std::string>> TargetsOf(Session& session, const GroupVerb& verb) {
  if (verb.of == GroupVerb::Of::kNamed) {
    v1::FleetSummary summary;  // no server at the start is an error, one that goes away later is waited for
    RETURN_IF_ERROR(session.client.Get("/api/v1/status", {}, summary));
    return std::deque<std::string>(verb.devices.begin(), verb.devices.end());
  }
  ASSIGN_OR_RETURN(const std::vector<v1::DeviceView> devices, FetchDevices(session.client));
  std::deque<std::string> online, others;
  for (const v1::DeviceView& device : devices) (device.state() == "online" ? online : others).push_back(device.id());
  if (verb.of == GroupVerb::Of::kAll) online.insert(online.end(), others.begin(), others.end());
  if (!online.empty()) return online;
  return absl::FailedPreconditionError(absl::StrCat(
      "no device is ", verb.of == GroupVerb::Of::kAll ? "known" : "online", "; fleetctl status shows what there is"));
}

// Submits, asks and prints for a GroupRun, one request at a time.
class Group {
 public:
  Group(Session& session, const GroupVerb& verb, std::deque<std::string> targets)
      : session_(session),
        request_(verb.request),
        count_(targets.size()),
        width_(WidthOf(targets)),
        run_(std::move(targets), static_cast<size_t>(verb.at_once),
             absl::Milliseconds(verb.request.ttl_ms()) + kGrace) {}

  ExitCode RunToEnd() {
    const MonoTime started = session_.clock.Read().mono;
    while (true) {
      SubmitNext();
      AskOpen();
      run_.GiveUp(session_.clock.Read().mono);
      for (const v1::CommandView& command : run_.TakeEnded()) Print(command);
      if (run_.over()) break;
      ShowProgress();
      if (!session_.interrupt.Pause(session_.poll_period)) break;
    }
    ClearProgress();
    PrintSummary(session_.clock.Read().mono - started);
    return all_done() ? kDone : kFailed;
  }

 private:
  static int WidthOf(const std::deque<std::string>& targets) {
    size_t width = 0;
    for (const std::string& target : targets) width = std::max(width, target.size());
    return static_cast<int>(width);
  }

  bool all_done() const {
    const auto done = tally_.find("done");
    return done != tally_.end() && done->second == count_;
  }

  void SubmitNext() {
    while (std::optional<std::string> device = run_.TakeNext()) {
      v1::CommandView command;
      const absl::Status status =
          session_.client.Post(absl::StrCat("/api/v1/devices/", *device, "/segments"), request_, command);
      if (status.ok()) {
        run_.Started(std::move(command), session_.clock.Read().mono);
      } else if (absl::IsCancelled(status) || WasNotSent(status)) {
        return run_.PutBack(*device, session_.clock.Read().mono);
      } else if (IsUnreachable(status)) {
        // Not again: it may have been taken, and would run twice.
        run_.Refused(*device, absl::StrCat("no answer, so it may run: fleetctl commands --device ", *device));
      } else {
        run_.Refused(*device, std::string(status.message()));
      }
    }
  }

  // A server that does not answer now is asked again in the next round.
  void AskOpen() {
    for (const std::string& id : run_.open()) {
      v1::CommandView command;
      const absl::Status status = session_.client.Get(CommandPath(id), {}, command);
      if (IsUnreachable(status) || absl::IsCancelled(status)) return;
      if (status.ok()) run_.Heard(std::move(command), session_.clock.Read().mono);
    }
  }

  void Print(const v1::CommandView& command) {
    ++tally_[command.state()];
    ++ended_;
    ClearProgress();
    if (session_.json()) {
      session_.screen.out << ToJson(command) << std::flush;
      return;
    }
    const TextStyle style = session_.screen.style();
    const std::string ms = command.steps().empty() ? absl::StrFormat("%12s", "")
                                                   : HumanStepTime(command.steps().rbegin()->since_issue_ms());
    const std::string head = absl::StrFormat("%-*s  %s  ", width_, Printable(command.device_id()), ms);
    const std::string state = absl::StrFormat("%-10s", Printable(command.state()));
    const std::string why = Printable(WhyOf(command));
    const int room = style.width - DisplayWidth(head) - DisplayWidth(state) - 2;
    session_.screen.out << head
                        << Paint(why.empty() ? Printable(command.state()) : state, ColourOfResult(command), style)
                        << (why.empty() ? "" : "  ") << (style.width > 0 ? CutTo(why, room) : why) << std::endl;
  }

  static Colour ColourOfResult(const v1::CommandView& command) {
    return command.state() == "refused" ? Colour::kRed : ColourOfCommand(command.state());
  }

  void ShowProgress() {
    if (!session_.screen.is_terminal || session_.json()) return;
    const std::string line =
        absl::StrCat(ended_, " of ", count_, " ended, ", run_.open().size(), " under way; Ctrl-C stops waiting");
    session_.screen.out << "\r" << CutTo(line, session_.screen.size().columns - 1) << "\x1b[K" << std::flush;
    progress_ = true;
  }

  void ClearProgress() {
    if (std::exchange(progress_, false)) session_.screen.out << "\r\x1b[K";
  }

  void PrintSummary(absl::Duration took) {
    if (session_.json()) return;
    std::string line = absl::StrCat(Plural(static_cast<double>(count_), "device"), ":");
    const char* between = " ";
    for (const auto& [state, number] : tally_) {
      absl::StrAppend(&line, between, number, " ", state);
      between = ", ";
    }
    if (const size_t open = run_.open().size(); open > 0) {
      absl::StrAppend(&line, between, open, " not waited for");
      between = ", ";
    }
    if (run_.waiting() > 0) absl::StrAppend(&line, between, run_.waiting(), " not started");
    session_.screen.out << Paint(Printable(absl::StrCat(line, "; ", HumanDuration(took))),
                                 all_done() ? Colour::kBold : Colour::kRed, session_.screen.style())
                        << "\n";
  }

  Session& session_;
  const v1::SegmentRequest request_;
  const size_t count_;
  const int width_;
  GroupRun run_;
  std::map<std::string, size_t> tally_;  // by state
  size_t ended_ = 0;
  bool progress_ = false;  // a line of it stands on the terminal
};

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const GroupVerb& verb) {
  ASSIGN_OR_RETURN(std::deque<std::string> targets, TargetsOf(session, verb));
  return Group(session, verb, std::move(targets)).RunToEnd();
}

}  // namespace fleet
