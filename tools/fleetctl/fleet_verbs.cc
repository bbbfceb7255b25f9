#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/live_view.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr char kPageSize[] = "500";
using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

// Calls `take` with each page of a list until the last one.
template <typename ListT, typename TakePage>
absl::Status ForEachPage(Client& client, absl::string_view path, Query query, TakePage take) {
  query["limit"] = kPageSize;
  while (true) {
    ListT page;
    RETURN_IF_ERROR(client.Get(path, query, page));
    const std::string next = page.next_cursor();
    take(page);
    if (next.empty()) return absl::OkStatus();
    if (next == query["cursor"]) return absl::InternalError("the server's list does not go on; this is its mistake");
    query["cursor"] = next;
  }
}

absl::StatusOr<std::vector<v1::DeviceView>> FetchDevices(Client& client) {
  std::vector<v1::DeviceView> devices;
  RETURN_IF_ERROR(ForEachPage<v1::DeviceList>(client, "/api/v1/devices", {}, [&](v1::DeviceList& page) {
    std::move(page.mutable_devices()->begin(), page.mutable_devices()->end(), std::back_inserter(devices));
  }));
  return devices;
}

// Online first, then what may come back, then what is gone.
int Rank(absl::string_view state) {
  if (state == "online") return 0;
  if (state == "stale") return 1;
  if (state == "unknown") return 2;
  return 3;
}

std::string LastSeen(const v1::DeviceView& device, const Here& here) {
  if (device.has_last_heartbeat_ms_ago()) {
    return absl::StrCat(HumanDuration(absl::Milliseconds(device.last_heartbeat_ms_ago())), " ago");
  }
  if (device.last_seen_unix_ms() <= 0) return "never";
  const absl::Time seen = absl::FromUnixMillis(static_cast<int64_t>(device.last_seen_unix_ms()));
  return absl::StrCat(HumanDuration(here.now - seen), " ago");
}

std::string Skew(const v1::DeviceView& device) {
  return device.has_clock_skew_ms() ? HumanSkew(device.clock_skew_ms()) : "-";
}

// "1,2,3", or of many "1,2,.. (31)".
std::string EntityIds(const v1::DeviceView& device) {
  constexpr int kAll = 3;
  constexpr int kOfMany = 2;
  const int count = device.entities_size();
  const auto last = device.entities().begin() + (count <= kAll ? count : kOfMany);
  const auto id = [](std::string* out, const v1::EntityView& entity) { absl::StrAppend(out, entity.entity_id()); };
  const std::string ids = absl::StrJoin(device.entities().begin(), last, ",", id);
  return count <= kAll ? ids : absl::StrCat(ids, ",.. (", count, ")");
}

Cell Lost(const v1::LossView& loss) {
  return {absl::StrCat(Count(loss.missing()), " of ", Count(loss.expected())),
          loss.missing() > 0 ? Colour::kYellow : Colour::kNone};
}

// "since 14:03:22 (3m ago), lost: the broker's will"
std::string Since(const v1::DeviceView& device, const Here& here) {
  std::vector<std::string> parts;
  if (device.state_since_unix_ms() > 0) {
    const absl::Time since = absl::FromUnixMillis(static_cast<int64_t>(device.state_since_unix_ms()));
    parts.push_back(absl::StrCat("since ", HumanTime(since, here), " (", HumanDuration(here.now - since), " ago)"));
  }
  if (!device.reason().empty()) parts.push_back(ReasonInWords(device.reason()));
  return absl::StrJoin(parts, ", ");
}

// Like Since; the state leads only where it matters most, for a narrow terminal cuts this column.
std::string Why(const v1::DeviceView& device, const Here& here) {
  return absl::StrCat(device.state() == "offline" ? "offline " : "", Since(device, here));
}

std::string GlanceTable(std::vector<v1::DeviceView> devices, const Session& session) {
  if (devices.empty()) return "No device has been heard yet. Start one: fleet-device --id pi-1 --broker URL\n";
  std::stable_sort(devices.begin(), devices.end(),
                   [](const v1::DeviceView& a, const v1::DeviceView& b) { return Rank(a.state()) < Rank(b.state()); });
  Table table({Column{"DEVICE"}, Column{"STATE"}, Column{"LAST-SEEN", kRight}, Column{"SKEW", kRight},
               Column{"ENTITIES"}, Column{"LOST", kRight}, Column{"WHY/SINCE"}});
  for (const v1::DeviceView& device : devices) {
    const Colour colour = ColourOfDevice(device.state());
    table.Add({{device.id()},
               {device.state(), colour},
               {LastSeen(device, session.here())},
               {Skew(device)},
               {EntityIds(device)},
               Lost(device.loss()),
               {Why(device, session.here()), colour == Colour::kGreen ? Colour::kNone : colour}});
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
  return absl::StrCat(SummaryLine(summary, session.screen.style()), "\n", watching ? WatchNote(session) : "", "\n",
                      GlanceTable(std::move(devices), session));
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

std::string LossLine(const v1::LossView& loss) {
  return absl::StrCat(Count(loss.missing()), " of ", Count(loss.expected()), " messages missing, ",
                      Count(loss.duplicate()), " came twice, ", Count(loss.reordered()), " out of order");
}

std::string EntityTable(const v1::DeviceView& device, const TextStyle& style) {
  Table table({Column{"ENTITY", kRight}, Column{"X", kRight}, Column{"Y", kRight}, Column{"ANGLE", kRight},
               Column{"SPEED", kRight}, Column{"AGE", kRight}, Column{"X,Y IN MM"}});
  for (const v1::EntityView& entity : device.entities()) {
    table.Add({{absl::StrCat(entity.entity_id())},
               {Metres(entity.x_mm())},
               {Metres(entity.y_mm())},
               {Degrees(entity.angle_mdeg())},
               {Speed(entity.vx_mm_s(), entity.vy_mm_s())},
               {HumanDuration(absl::Milliseconds(entity.age_ms()))},
               {absl::StrCat(entity.x_mm(), ",", entity.y_mm())}});
  }
  return table.Render(style);
}

std::string HistoryTable(const v1::History& history, const Session& session) {
  Table table({Column{"RECEIVED"}, Column{"X", kRight}, Column{"Y", kRight}, Column{"ANGLE", kRight},
               Column{"SPEED", kRight}, Column{"X,Y IN MM"}});
  for (const v1::HistorySample& sample : history.samples()) {
    const absl::Time received = absl::FromUnixMillis(static_cast<int64_t>(sample.received_unix_ms()));
    table.Add({{HumanTimeMillis(received, session.here())},
               {Metres(sample.x_mm())},
               {Metres(sample.y_mm())},
               {Degrees(sample.angle_mdeg())},
               {Speed(sample.vx_mm_s(), sample.vy_mm_s())},
               {absl::StrCat(sample.x_mm(), ",", sample.y_mm())}});
  }
  return table.Render(session.screen.style());
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const StatusVerb& verb) {
  if (verb.watch) return WatchStatus(session);
  ASSIGN_OR_RETURN(const std::string text, Glance(session, false));
  session.screen.out << text;
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const DevicesVerb&) {
  ASSIGN_OR_RETURN(const std::vector<v1::DeviceView> devices, FetchDevices(session.client));
  if (session.json()) {
    // Not a DeviceList, whose cursor means nothing once all pages are one.
    std::string separator;
    session.screen.out << "{\"devices\":[";
    for (const v1::DeviceView& device : devices) {
      session.screen.out << std::exchange(separator, ",") << absl::StripSuffix(ToJson(device), "\n");
    }
    session.screen.out << "]}\n";
    return kDone;
  }
  Table table({Column{"DEVICE"}, Column{"STATE"}, Column{"LAST-SEEN", kRight}, Column{"SKEW", kRight},
               Column{"ENTITIES"}, Column{"EPOCH", kRight}, Column{"STORED", kRight}, Column{"MISSING", kRight},
               Column{"TWICE", kRight}, Column{"REORDERED", kRight}, Column{"VERSION"}});
  for (const v1::DeviceView& device : devices) {
    table.Add({{device.id()},
               {device.state(), ColourOfDevice(device.state())},
               {LastSeen(device, session.here())},
               {Skew(device)},
               {EntityIds(device)},
               {absl::StrCat(device.epoch())},
               {Count(device.loss().stored())},
               {Count(device.loss().missing()), device.loss().missing() > 0 ? Colour::kYellow : Colour::kNone},
               {Count(device.loss().duplicate())},
               {Count(device.loss().reordered())},
               {device.version()}});
  }
  session.screen.out << table.Render(session.screen.style());
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const DeviceVerb& verb) {
  v1::DeviceView device;
  RETURN_IF_ERROR(session.client.Get(absl::StrCat("/api/v1/devices/", verb.device), {}, device));
  if (session.json()) {
    session.screen.out << ToJson(device);
    return kDone;
  }
  const TextStyle style = session.screen.style();
  session.screen.out << Printable(device.id()) << ": "
                     << Paint(Printable(device.state()), ColourOfDevice(device.state()), style) << " "
                     << Since(device, session.here()) << "\n"
                     << "last seen  " << LastSeen(device, session.here()) << "\n"
                     << "skew       " << Skew(device) << "\n"
                     << "epoch      " << device.epoch() << "\n"
                     << "version    " << Printable(device.version()) << "\n"
                     << "loss       " << LossLine(device.loss()) << "\n\n"
                     << EntityTable(device, style);
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const HistoryVerb& verb) {
  const absl::Time since = session.clock.Read().wall - verb.since;
  v1::History history;
  history.set_device_id(verb.device);
  history.set_entity_id(verb.entity);
  RETURN_IF_ERROR(ForEachPage<v1::History>(
      session.client, absl::StrCat("/api/v1/devices/", verb.device, "/entities/", verb.entity, "/history"),
      {{"since_ms", absl::StrCat(std::max<int64_t>(absl::ToUnixMillis(since), 0))}},
      [&](v1::History& page) { history.mutable_samples()->MergeFrom(page.samples()); }));
  if (session.json()) {
    session.screen.out << ToJson(history);
  } else if (history.samples().empty()) {
    session.screen.out << "Nothing in the last " << absl::FormatDuration(verb.since) << "; ask for more with --since\n";
  } else {
    session.screen.out << HistoryTable(history, session);
  }
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const DeviceIdsVerb&) {
  ASSIGN_OR_RETURN(const std::vector<v1::DeviceView> devices, FetchDevices(session.client));
  for (const v1::DeviceView& device : devices) session.screen.out << Printable(device.id()) << "\n";
  return kDone;
}

}  // namespace fleet
