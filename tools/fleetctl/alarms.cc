#include "tools/fleetctl/alarms.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "tools/fleetctl/paging.h"

namespace fleet {
namespace {

constexpr size_t kNamed = 5;

// "2 devices ...: pi-1, pi-2", or of many "...: a, b, c, d, e and 12 more". Empty for none.
std::string Line(Session& session, absl::string_view alarm, double count, const std::vector<std::string>& names,
                 absl::string_view what_to_do) {
  if (count == 0) return "";
  const size_t shown = std::min(names.size(), kNamed);
  const std::string some = absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  const double more = count - static_cast<double>(shown);
  const std::string line =
      absl::StrCat(alarm, ": ", Plural(count, "device"), shown == 0 ? "" : ": ", some,
                   more > 0 && shown > 0 ? absl::StrCat(" and ", Count(more), " more") : "", "; ", what_to_do);
  const TextStyle style = session.screen.style();
  const std::string printable = Printable(line);
  return absl::StrCat(Paint(style.width > 0 ? CutTo(printable, style.width) : printable, Colour::kRed, style), "\n");
}

template <typename HasAlarm>
std::vector<std::string> NamesOf(const std::vector<v1::DeviceView>& devices, HasAlarm has_alarm) {
  std::vector<std::string> names;
  for (const v1::DeviceView& device : devices) {
    if (has_alarm(device)) names.push_back(device.id());
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> SomeUnbalanced(Session& session) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(ForEachPage<v1::LedgerList>(session.client, "/api/v1/ledger", {}, [&](const v1::LedgerList& page) {
    for (const v1::LedgerView& ledger : page.devices()) {
      if (!Balances(ledger)) names.push_back(ledger.device_id());
    }
    return names.size() < kNamed;
  }));
  return names;
}

constexpr char kClone[] = "CLONE ALARM";
constexpr char kCloneHelp[] = "two agents use this id and commands to it are refused; give one of them another";
constexpr char kFailSafe[] = "FAIL-SAFE";
constexpr char kFailSafeHelp[] = "not hearing this server for too long; is its beat reaching them?";
constexpr char kLedger[] = "LEDGER DOES NOT BALANCE";

}  // namespace

absl::StatusOr<std::string> AlarmLines(Session& session, const v1::FleetSummary& summary,
                                       const std::vector<v1::DeviceView>& devices) {
  const auto cloned = NamesOf(devices, [](const v1::DeviceView& device) { return device.clone_alarm(); });
  const auto alone = NamesOf(devices, [](const v1::DeviceView& device) { return device.fail_safe(); });
  std::vector<std::string> unbalanced;
  if (summary.unbalanced() > 0) {
    ASSIGN_OR_RETURN(unbalanced, SomeUnbalanced(session));
  }
  return absl::StrCat(Line(session, kClone, static_cast<double>(cloned.size()), cloned, kCloneHelp),
                      Line(session, kFailSafe, static_cast<double>(alone.size()), alone, kFailSafeHelp),
                      Line(session, kLedger, summary.unbalanced(), unbalanced, "see fleetctl ledger"));
}

std::string AlarmLinesOf(Session& session, const v1::DeviceView& device) {
  std::string lines;
  const TextStyle style = session.screen.style();
  const auto add = [&](absl::string_view alarm, absl::string_view what) {
    absl::StrAppend(&lines, Paint(Printable(absl::StrCat(alarm, ": ", what)), Colour::kRed, style), "\n");
  };
  if (device.clone_alarm()) add(kClone, kCloneHelp);
  if (device.fail_safe()) add(kFailSafe, kFailSafeHelp);
  v1::LedgerView ledger;
  if (!session.client.Get(absl::StrCat("/api/v1/devices/", device.id(), "/ledger"), {}, ledger).ok()) return lines;
  for (const v1::StreamLedgerView& stream : ledger.streams()) {
    if (!Balances(stream)) add(kLedger, absl::StrCat(stream.stream(), ": ", ComplaintOf(stream)));
  }
  return lines;
}

bool Balances(const v1::StreamLedgerView& stream) {
  // Whole numbers below 2^53, so doubles add up exactly.
  return stream.balanced() && stream.sent() == stream.stored() + stream.dropped() + stream.in_flight();
}

bool Balances(const v1::LedgerView& ledger) {
  return ledger.balanced() && std::all_of(ledger.streams().begin(), ledger.streams().end(),
                                          [](const v1::StreamLedgerView& stream) { return Balances(stream); });
}

std::string ComplaintOf(const v1::StreamLedgerView& stream) {
  if (!stream.complaint().empty()) return stream.complaint();
  const double sum = stream.stored() + stream.dropped() + stream.in_flight();
  if (sum != stream.sent()) return absl::StrCat("sent ", Count(stream.sent()), " is not the sum ", Count(sum));
  return "the server does not say why";
}

}  // namespace fleet
