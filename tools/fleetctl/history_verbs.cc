#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

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

// The changes of a device come newest first, so each lasted until the one before it in the list.
std::string LivenessTable(const v1::LivenessHistory& history, const Session& session) {
  Table table({Column{"TIME"}, Column{"STATE"}, Column{"LASTED", kRight}, Column{"REASON"}});
  absl::Time until = session.here().now;
  for (const v1::LivenessView& change : history.changes()) {
    const absl::Time at = absl::FromUnixMillis(static_cast<int64_t>(change.at_unix_ms()));
    const bool lasts = table.empty();
    table.Add({{HumanTimeMillis(at, session.here())},
               {change.state(), ColourOfDevice(change.state())},
               {absl::StrCat(lasts ? "so far " : "", HumanDuration(until - at))},
               {ReasonInWords(change.reason())}});
    until = at;
  }
  return table.Render(session.screen.style());
}

// Leaves those that began before `since` out, but for the newest of them: that is what it was then.
void CutAt(absl::Time since, v1::LivenessHistory& history) {
  int kept = 0;
  while (kept < history.changes_size()) {
    const absl::Time at = absl::FromUnixMillis(static_cast<int64_t>(history.changes(kept++).at_unix_ms()));
    if (at < since) break;
  }
  if (kept < history.changes_size()) history.clear_next_cursor();
  history.mutable_changes()->DeleteSubrange(kept, history.changes_size() - kept);
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const HistoryVerb& verb) {
  const absl::Time since = session.clock.Read().wall - verb.since;
  v1::History history;
  history.set_device_id(verb.device);
  history.set_entity_id(verb.entity);
  RETURN_IF_ERROR(ForEachPage<v1::History>(
      session.client, absl::StrCat("/api/v1/devices/", verb.device, "/entities/", verb.entity, "/history"),
      {{"since_ms", absl::StrCat(std::max<int64_t>(absl::ToUnixMillis(since), 0))}}, [&](v1::History& page) {
        history.mutable_samples()->MergeFrom(page.samples());
        return true;
      }));
  if (session.json()) {
    session.screen.out << ToJson(history);
  } else if (history.samples().empty()) {
    session.screen.out << "Nothing in the last " << absl::FormatDuration(verb.since) << "; ask for more with --since\n";
  } else {
    session.screen.out << HistoryTable(history, session);
  }
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const LivenessVerb& verb) {
  v1::LivenessHistory history;
  RETURN_IF_ERROR(FetchUpTo(session.client, absl::StrCat("/api/v1/devices/", verb.device, "/liveness"), {}, verb.limit,
                            history, [](v1::LivenessHistory& page) { return page.mutable_changes(); }));
  CutAt(session.here().now - verb.since, history);
  if (session.json()) {
    session.screen.out << ToJson(history);
  } else if (history.changes().empty()) {
    session.screen.out << "Nothing is known of when it was online\n";
  } else {
    session.screen.out << LivenessTable(history, session);
  }
  return kDone;
}

}  // namespace fleet
