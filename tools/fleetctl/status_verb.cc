#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/alarms.h"
#include "tools/fleetctl/device_text.h"
#include "tools/fleetctl/live_view.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

// Online first, then what may come back, then what is gone.
int Rank(absl::string_view state) {
  if (state == "online") return 0;
  if (state == "stale") return 1;
  if (state == "unknown") return 2;
  return 3;
}

Cell Lost(const v1::LossView& loss) {
  return {absl::StrCat(Count(loss.missing()), " of ", Count(loss.expected())),
          loss.missing() > 0 ? Colour::kYellow : Colour::kNone};
}

// Like Since; what matters most leads, for a narrow terminal cuts this column.
Cell Why(const v1::DeviceView& device, const Here& here) {
  const std::string alarm = AlarmWords(device);
  const Colour colour = alarm.empty() ? ColourOfDevice(device.state()) : Colour::kRed;
  return {
      absl::StrCat(alarm, alarm.empty() ? "" : " ", device.state() == "offline" ? "offline " : "", Since(device, here)),
      colour == Colour::kGreen ? Colour::kNone : colour};
}

std::string GlanceTable(std::vector<v1::DeviceView> devices, const Session& session) {
  if (devices.empty()) return "No device has been heard yet. Start one: fleet-device --id pi-1 --broker URL\n";
  std::stable_sort(devices.begin(), devices.end(),
                   [](const v1::DeviceView& a, const v1::DeviceView& b) { return Rank(a.state()) < Rank(b.state()); });
  Table table({Column{"DEVICE"}, Column{"STATE"}, Column{"LAST-SEEN", kRight}, Column{"SKEW", kRight},
               Column{"ENTITIES"}, Column{"LOST", kRight}, Column{"WHY/SINCE"}});
  for (const v1::DeviceView& device : devices) {
    table.Add({{device.id()},
               {device.state(), ColourOfDevice(device.state())},
               {LastSeen(device, session.here())},
               {Skew(device)},
               {EntityIds(device)},
               Lost(device.loss()),
               Why(device, session.here())});
  }
  return table.Render(session.screen.style());
}

std::string SummaryLine(const v1::FleetSummary& summary, const TextStyle& style) {
  const bool well = summary.broker_connected() && summary.store_works();
  const std::string line = absl::StrCat(Plural(summary.devices(), "device"), ": ", summary.online(), " online, ",
                                        summary.stale(), " stale, ", summary.offline(), " offline, ", summary.unknown(),
                                        " unknown; ", Plural(summary.entities(), "entity"), "; broker ",
                                        summary.broker_connected() ? "connected" : "NOT connected", "; store ",
                                        summary.store_works() ? "works" : "FAILS");
  return Paint(style.width > 0 ? CutTo(line, style.width) : line, well ? Colour::kBold : Colour::kRed, style);
}

// Stands between summary and table while it is redrawn.
std::string WatchNote(const Session& session) {
  const TextStyle style = session.screen.style();
  const std::string note = absl::StrCat(HumanTime(session.here().now, session.here()), ", Ctrl-C ends");
  return Paint(style.width > 0 ? CutTo(note, style.width) : note, Colour::kGrey, style);
}

// The whole answer to `status`.
absl::StatusOr<std::string> Glance(Session& session, bool watching) {
  v1::FleetSummary summary;
  RETURN_IF_ERROR(session.client.Get("/api/v1/status", {}, summary));
  if (session.json()) return ToJson(summary);
  ASSIGN_OR_RETURN(std::vector<v1::DeviceView> devices, FetchDevices(session.client));
  ASSIGN_OR_RETURN(const std::string alarms, AlarmLines(session, summary, devices));
  return absl::StrCat(SummaryLine(summary, session.screen.style()), "\n", alarms, watching ? WatchNote(session) : "",
                      "\n", GlanceTable(std::move(devices), session));
}

// `view` is null for JSON, which is one line each time.
void ShowGlance(Session& session, LiveView* view, const absl::StatusOr<std::string>& glance) {
  if (view != nullptr) {
    view->Draw(glance.ok() ? *glance : absl::StrCat(glance.status().message(), "\n", WatchNote(session), "\n"));
  } else if (glance.ok()) {
    session.screen.out << *glance << std::flush;
  } else {
    PrintError(session, glance.status());
  }
}

// A server that goes away later is waited for; one that was never there is an error.
absl::StatusOr<ExitCode> WatchStatus(Session& session) {
  absl::StatusOr<std::string> glance = Glance(session, true);
  if (!glance.ok()) return glance.status();
  std::optional<LiveView> view;
  if (!session.json()) view.emplace(session.screen);
  while (true) {
    ShowGlance(session, view ? &*view : nullptr, glance);
    if (!session.screen.out || !session.interrupt.Pause(session.redraw_period)) return kDone;
    glance = Glance(session, true);
    if (session.interrupt.triggered()) return kDone;
  }
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const StatusVerb& verb) {
  if (verb.watch) return WatchStatus(session);
  ASSIGN_OR_RETURN(const std::string text, Glance(session, false));
  session.screen.out << text;
  return kDone;
}

}  // namespace fleet
