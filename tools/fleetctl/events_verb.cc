#include <set>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

Colour ColourOf(absl::string_view kind) {
  static const std::set<absl::string_view> kRed = {"fail_safe_on", "spool_failed", "spool_damaged",
                                                   "dtc_set",      "can_down",     "can_bus_off"};
  static const std::set<absl::string_view> kYellow = {"records_dropped", "stopped", "can_dropped", "canopen_emcy"};
  return kRed.contains(kind) ? Colour::kRed : kYellow.contains(kind) ? Colour::kYellow : Colour::kNone;
}

std::string EventTable(const v1::EventList& list, const Session& session) {
  Table table({Column{"HAPPENED"}, Column{"DEVICE"}, Column{"EVENT"}, Column{"ENTITY", kRight}, Column{"LATE", kRight},
               Column{"DETAIL"}});
  for (const v1::EventView& event : list.events()) {
    const absl::Time at = absl::FromUnixMillis(static_cast<int64_t>(event.at_unix_ms()));
    const absl::Time received = absl::FromUnixMillis(static_cast<int64_t>(event.received_unix_ms()));
    const absl::string_view between = event.name().empty() || event.detail().empty() ? "" : ": ";
    table.Add({{HumanTimeMillis(at, session.here())},
               {event.device_id()},
               {event.kind(), ColourOf(event.kind())},
               {event.entity_id() == 0 ? "" : absl::StrCat(event.entity_id())},
               {event.backlog() ? HumanDuration(received - at) : ""},
               {absl::StrCat(event.name(), between, event.detail())}});
  }
  return table.empty() ? "No event yet\n" : table.Render(session.screen.style());
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const EventsVerb& verb) {
  v1::EventList list;
  RETURN_IF_ERROR(FetchUpTo(session.client, "/api/v1/events", {{"device", verb.device}}, verb.limit, list,
                            [](v1::EventList& page) { return page.mutable_events(); }));
  session.screen.out << (session.json() ? ToJson(list) : EventTable(list, session));
  return kDone;
}

}  // namespace fleet
