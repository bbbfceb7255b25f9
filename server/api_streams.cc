// Events, ledger and quarantine: docs/protocol.md section 9.
#include <algorithm>
#include <limits>
#include <string>

#include "server/api.h"
#include "server/api_support.h"
#include "server/stream_views.h"

namespace fleet::server {
namespace {

absl::StatusOr<v1::EventList> Events(const ApiParts& p, const HttpRequest& request, const std::string& device_id) {
  ASSIGN_OR_RETURN(const int limit, LimitOf(request));
  int64_t before = std::numeric_limits<int64_t>::max();
  RETURN_IF_ERROR(ReadNumber(request, "cursor", before));
  return p.reader.Events(device_id, before, limit);
}

absl::StatusOr<v1::QuarantineList> Quarantined(const ApiParts& p, const HttpRequest& request) {
  ASSIGN_OR_RETURN(const int limit, LimitOf(request));
  int64_t before = std::numeric_limits<int64_t>::max();
  RETURN_IF_ERROR(ReadNumber(request, "cursor", before));
  return p.reader.Quarantine(before, limit);
}

v1::LedgerView LedgerOf(const FleetState& state, const Device& device) {
  return LedgerOf(device.id.view(), state.streams().Find(device.index));
}

absl::StatusOr<v1::LedgerList> Ledgers(const ApiParts& p, const HttpRequest& request) {
  ASSIGN_OR_RETURN(const int limit, LimitOf(request));
  DeviceIndex first = 0;
  RETURN_IF_ERROR(ReadNumber(request, "cursor", first));
  return OnLoop<v1::LedgerList>(p, [&state = p.state, first, limit](Now) {
    v1::LedgerList list;
    const auto size = static_cast<DeviceIndex>(state.registry().size());
    const DeviceIndex end = std::min<DeviceIndex>(size, std::min(first, size) + static_cast<DeviceIndex>(limit));
    for (DeviceIndex i = first; i < end; ++i) *list.add_devices() = LedgerOf(state, state.registry().at(i));
    if (end < size) list.set_next_cursor(absl::StrCat(end));
    return list;
  });
}

absl::StatusOr<v1::LedgerView> OneLedger(const ApiParts& p, const std::string& id) {
  return OnLoop<v1::LedgerView>(p, [&state = p.state, id](Now) -> absl::StatusOr<v1::LedgerView> {
    const Device* device = state.registry().Find(id);
    if (device == nullptr) return absl::NotFoundError(absl::StrCat("no device ", id));
    return LedgerOf(state, *device);
  });
}

}  // namespace

void AddStreamRoutes(HttpServer& http, const ApiParts& p) {
  const std::string device = "/api/v1/devices/([^/]+)";
  http.Get("/api/v1/events", [p](const HttpRequest& r) { return Respond(Events(p, r, TextOf(r, "device"))); });
  http.Get(device + "/events", [p](const HttpRequest& r) { return Respond(Events(p, r, r.captures[0])); });
  http.Get("/api/v1/ledger", [p](const HttpRequest& r) { return Respond(Ledgers(p, r)); });
  http.Get(device + "/ledger", [p](const HttpRequest& r) { return Respond(OneLedger(p, r.captures[0])); });
  http.Get("/api/v1/quarantine", [p](const HttpRequest& r) { return Respond(Quarantined(p, r)); });
}

}  // namespace fleet::server
