#include <google/protobuf/util/json_util.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/backoff.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kRetryMin = absl::Milliseconds(100);
constexpr absl::Duration kRetryMax = absl::Seconds(4);

// One event as a line: when, who, what (coloured), and more about it.
struct Line {
  absl::Time at;
  std::string who;
  std::string what;
  Colour colour = Colour::kNone;
  std::string more;
};

Line OfDevice(const v1::LivenessView& change) {
  return {.at = absl::FromUnixMillis(static_cast<int64_t>(change.at_unix_ms())),
          .who = change.device_id(),
          .what = change.state(),
          .colour = change.reason() == "replaced" ? Colour::kRed : ColourOfDevice(change.state()),
          .more = ReasonInWords(change.reason())};
}

Line OfCommand(const v1::CommandView& command, absl::Time now) {
  Line line{.at = now,
            .who = TargetOf(command),
            .what = absl::StrCat("command ", command.command_id(), " ", command.state()),
            .colour = ColourOfCommand(command.state()),
            .more = command.reason()};
  if (command.steps().empty()) return line;
  const v1::CommandStepView& step = command.steps(command.steps_size() - 1);
  line.at = absl::FromUnixMillis(static_cast<int64_t>(step.at_unix_ms()));
  line.more = absl::StrFormat("%.1f ms", step.since_issue_ms());
  for (const std::string& part : {step.reason(), step.detail()}) {
    if (!part.empty()) absl::StrAppend(&line.more, "  ", part);
  }
  if (step.state() == "queued") absl::StrAppend(&line.more, "  ", command.summary());  // once is enough
  return line;
}

Line OfState(const v1::DeviceView& device, absl::Time now) {
  Line line{.at = now, .who = device.id(), .what = "at", .colour = Colour::kGrey, .more = ""};
  for (const v1::EntityView& entity : device.entities()) {
    absl::StrAppend(&line.more, line.more.empty() ? "" : "  ", entity.entity_id(), ": ",
                    absl::StrFormat("%.2f,%.2f m ", entity.x_mm() / 1000.0, entity.y_mm() / 1000.0),
                    Degrees(entity.angle_mdeg()));
  }
  return line;
}

// Alarms come inside the views of devices; what is told is when one begins or ends.
class AlarmChanges {
 public:
  std::vector<Line> Take(const v1::DeviceView& device, absl::Time now) {
    std::vector<Line> lines;
    Compare(device.id(), device.fail_safe(), fail_safe_, {.at = now, .who = device.id(), .what = "fail-safe"}, lines);
    Compare(device.id(), device.clone_alarm(), clones_, {.at = now, .who = device.id(), .what = "clone alarm"}, lines);
    return lines;
  }

 private:
  static void Compare(const std::string& device, bool on, std::set<std::string>& known, Line line,
                      std::vector<Line>& lines) {
    if (on == known.contains(device)) return;
    if (on) {
      known.insert(device);
    } else {
      known.erase(device);
    }
    line.colour = on ? Colour::kRed : Colour::kGreen;
    line.more = on ? "begins" : "is over";
    lines.push_back(std::move(line));
  }

  std::set<std::string> fail_safe_, clones_;  // devices; no more than the server has
};

Line OfGap(const v1::StreamGap& gap, absl::Time now) {
  return {.at = now,
          .who = "-",
          .what = Plural(gap.dropped(), "event"),
          .colour = Colour::kYellow,
          .more = "missed: this reader was too slow"};
}

// None: of a kind that only a newer server knows.
std::vector<Line> LinesOf(const v1::StreamEvent& event, AlarmChanges& alarms, absl::Time now) {
  switch (event.event_case()) {
    case v1::StreamEvent::kDevice:
      return {OfDevice(event.device())};
    case v1::StreamEvent::kCommand:
      return {OfCommand(event.command(), now)};
    case v1::StreamEvent::kState: {
      std::vector<Line> lines = alarms.Take(event.state(), now);
      if (!event.state().entities().empty()) lines.push_back(OfState(event.state(), now));
      return lines;
    }
    case v1::StreamEvent::kGap:
      return {OfGap(event.gap(), now)};
    case v1::StreamEvent::EVENT_NOT_SET:
      return {};
  }
  return {};
}

// Empty: of no device in particular.
std::string DeviceOf(const v1::StreamEvent& event) {
  switch (event.event_case()) {
    case v1::StreamEvent::kDevice:
      return event.device().device_id();
    case v1::StreamEvent::kCommand:
      return event.command().device_id();
    case v1::StreamEvent::kState:
      return event.state().id();
    case v1::StreamEvent::kGap:
    case v1::StreamEvent::EVENT_NOT_SET:
      return "";
  }
  return "";
}

std::string Render(const Line& line, const Session& session) {
  const TextStyle style = session.screen.style();
  const std::string head = absl::StrFormat("%s  %-14s ", HumanTimeMillis(line.at, session.here()), Printable(line.who));
  const std::string what = Printable(line.what);
  const std::string more = line.more.empty() ? "" : absl::StrCat("  ", Printable(line.more));
  const int room = style.width - DisplayWidth(head) - DisplayWidth(what);
  return absl::StrCat(head, Paint(what, line.colour, style), style.width > 0 ? CutTo(more, room) : more, "\n");
}

// Prints an event of the stream; one that this fleetctl does not understand, of a newer server, is left out.
void Print(Session& session, const std::string& device, AlarmChanges& alarms, const SseEvent& sse) {
  v1::StreamEvent event;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(sse.data, &event, options).ok()) return;
  const std::string of = DeviceOf(event);
  if (!device.empty() && !of.empty() && of != device) return;
  const std::vector<Line> lines = LinesOf(event, alarms, session.clock.Read().wall);
  if (session.json() && event.event_case() != v1::StreamEvent::EVENT_NOT_SET) session.screen.out << ToJson(event);
  for (const Line& line : lines) {
    if (!session.json()) session.screen.out << Render(line, session);
  }
  session.screen.out << std::flush;
  // A reader of our pipe that left ends us, as Ctrl-C does.
  if (!session.screen.out) session.interrupt.Trigger();
}

// Between events and not among them, so that the output of --output json stays JSON.
void Note(Session& session, absl::string_view text) {
  session.screen.err << "fleetctl: " << text << std::endl;
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const WatchVerb& verb) {
  // Fails at once when there is no server, or no such device; later losses are waited out.
  if (verb.device.empty()) {
    v1::FleetSummary summary;
    RETURN_IF_ERROR(session.client.Get("/api/v1/status", {}, summary));
  } else {
    v1::DeviceView device;
    RETURN_IF_ERROR(session.client.Get(absl::StrCat("/api/v1/devices/", verb.device), {}, device));
  }
  Backoff backoff(kRetryMin, kRetryMax, static_cast<uint64_t>(absl::ToUnixNanos(session.clock.Read().wall)));
  AlarmChanges alarms;
  bool heard = false;  // anything at all
  bool away = false;   // said so, and not heard since
  while (true) {
    const absl::Status status = session.client.Stream("/api/v1/stream", [&](const SseEvent& event) {
      if (away) Note(session, "the server is back; what happened meanwhile: fleetctl status, fleetctl commands");
      heard = true;
      away = false;
      backoff.Reset();
      Print(session, verb.device, alarms, event);
    });
    if (session.interrupt.triggered()) return kDone;
    if (!heard && !IsUnreachable(status)) return status;
    if (!away) Note(session, absl::StrCat(status.message(), "; trying again until Ctrl-C"));
    away = true;
    if (!session.interrupt.Pause(backoff.Next())) return kDone;
  }
}

}  // namespace fleet
