#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/csv.h"
#include "tools/fleetctl/follow.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

absl::Time TimeOf(double unix_ms) {
  return absl::FromUnixMillis(static_cast<int64_t>(unix_ms));
}

Cell StatusOf(const v1::DtcView& dtc) {
  if (!dtc.active()) return {"cleared", Colour::kGrey};
  return {dtc.status(), dtc.status() == "pending" ? Colour::kYellow : Colour::kRed};
}

std::string DtcTable(const v1::DtcList& list, const Session& session) {
  Table table({Column{"DEVICE"}, Column{"BUS"}, Column{"ECU"}, Column{"CODE"}, Column{"STATUS"}, Column{"FIRST"},
               Column{"LAST"}, Column{"COUNT", kRight}});
  for (const v1::DtcView& dtc : list.dtcs()) {
    table.Add({{dtc.device_id()},
               {dtc.bus()},
               {absl::StrCat(dtc.protocol(), " ", dtc.ecu())},
               {dtc.code()},
               StatusOf(dtc),
               {HumanTime(TimeOf(dtc.first_unix_ms()), session.here())},
               {HumanTime(TimeOf(dtc.last_unix_ms()), session.here())},
               {dtc.count() > 0 ? Count(dtc.count()) : ""}});
  }
  return table.Render(session.screen.style());
}

std::string DtcCsv(const v1::DtcList& list) {
  std::string out = CsvLine({"device", "bus", "protocol", "ecu", "code", "status", "active", "first", "first_unix_ms",
                             "last", "last_unix_ms", "count"});
  for (const v1::DtcView& dtc : list.dtcs()) {
    out += CsvLine({dtc.device_id(), dtc.bus(), dtc.protocol(), dtc.ecu(), dtc.code(), dtc.status(),
                    dtc.active() ? "true" : "false", IsoTime(TimeOf(dtc.first_unix_ms())), Count(dtc.first_unix_ms()),
                    IsoTime(TimeOf(dtc.last_unix_ms())), Count(dtc.last_unix_ms()), Count(dtc.count())});
  }
  return out;
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const DtcVerb& verb) {
  v1::DtcList list;
  RETURN_IF_ERROR(ForEachPage<v1::DtcList>(session.client, "/api/v1/dtcs",
                                           {{"device", verb.device}, {"active", verb.all ? "" : "true"}},
                                           [&list](v1::DtcList& page) {
                                             list.mutable_dtcs()->MergeFrom(page.dtcs());
                                             return true;
                                           }));
  if (session.json()) {
    session.screen.out << ToJson(list);
  } else if (session.format == OutputFormat::kCsv) {
    session.screen.out << DtcCsv(list);
  } else if (list.dtcs().empty()) {
    session.screen.out << (verb.all ? "No trouble code was ever set\n"
                                    : "No trouble code is set; --all shows those that were\n");
  } else {
    session.screen.out << DtcTable(list, session);
  }
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const ClearDtcsVerb& verb) {
  v1::ClearDtcsRequest request;
  request.set_by(Asker());
  v1::CommandView command;
  RETURN_IF_ERROR(session.client.Post(absl::StrCat("/api/v1/devices/", verb.device, "/can/", verb.bus, "/clear-dtcs"),
                                      request, command));
  return Follow(session, std::move(command));
}

}  // namespace fleet
