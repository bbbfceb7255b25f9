#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/alarms.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

absl::StatusOr<v1::LedgerList> Fetch(Session& session, const std::string& device) {
  v1::LedgerList list;
  if (device.empty()) {
    RETURN_IF_ERROR(ForEachPage<v1::LedgerList>(session.client, "/api/v1/ledger", {}, [&](v1::LedgerList& page) {
      list.mutable_devices()->MergeFrom(page.devices());
      return true;
    }));
  } else {
    RETURN_IF_ERROR(session.client.Get(absl::StrCat("/api/v1/devices/", device, "/ledger"), {}, *list.add_devices()));
  }
  return list;
}

// "spool_full 12, crash 1"
std::string DropsOf(const v1::StreamLedgerView& stream) {
  return absl::StrJoin(stream.drops(), ", ", [](std::string* out, const v1::DropView& drop) {
    absl::StrAppend(out, drop.reason(), " ", Count(drop.count()));
  });
}

std::string Reported(const v1::StreamLedgerView& stream, const Here& here) {
  if (stream.reported_unix_ms() <= 0) return "never";
  const absl::Time at = absl::FromUnixMillis(static_cast<int64_t>(stream.reported_unix_ms()));
  return absl::StrCat(HumanDuration(here.now - at), " ago");
}

std::string LedgerTable(const v1::LedgerList& list, const Session& session) {
  Table table({Column{"DEVICE"}, Column{"STREAM"}, Column{"SENT =", kRight}, Column{"STORED +", kRight},
               Column{"DROPPED +", kRight}, Column{"IN FLIGHT", kRight}, Column{"BALANCED"}, Column{"REPORTED", kRight},
               Column{"DROPS"}});
  for (const v1::LedgerView& ledger : list.devices()) {
    for (const v1::StreamLedgerView& stream : ledger.streams()) {
      const bool good = Balances(stream);
      table.Add({{ledger.device_id()},
                 {stream.stream()},
                 {Count(stream.sent())},
                 {Count(stream.stored())},
                 {Count(stream.dropped()), stream.dropped() > 0 ? Colour::kYellow : Colour::kNone},
                 {Count(stream.in_flight())},
                 {good ? "yes" : "NO", good ? Colour::kGreen : Colour::kRed},
                 {Reported(stream, session.here())},
                 {DropsOf(stream)}});
    }
  }
  return table.empty() ? "No device has sent anything that is kept in a ledger yet\n"
                       : table.Render(session.screen.style());
}

// A line for each stream that does not balance, or for a device that does not although its streams do.
std::string Complaints(const v1::LedgerList& list, const TextStyle& style) {
  std::string out;
  for (const v1::LedgerView& ledger : list.devices()) {
    const size_t before = out.size();
    const auto shout = [&](absl::string_view of, absl::string_view why) {
      const std::string line = absl::StrCat("DOES NOT BALANCE: ", ledger.device_id(), of, ": ", why);
      absl::StrAppend(&out, Paint(Printable(line), Colour::kRed, style), "\n");
    };
    for (const v1::StreamLedgerView& stream : ledger.streams()) {
      if (!Balances(stream)) shout(absl::StrCat(" ", stream.stream()), ComplaintOf(stream));
    }
    if (!Balances(ledger) && out.size() == before) shout("", "the server does not say why");
  }
  return out;
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const LedgerVerb& verb) {
  ASSIGN_OR_RETURN(const v1::LedgerList list, Fetch(session, verb.device));
  const std::string complaints = Complaints(list, session.screen.style());
  if (!session.json()) {
    session.screen.out << LedgerTable(list, session) << complaints;
  } else if (verb.device.empty()) {
    session.screen.out << ToJson(list);
  } else {
    session.screen.out << ToJson(list.devices(0));
  }
  return complaints.empty() ? kDone : kFailed;
}

}  // namespace fleet
