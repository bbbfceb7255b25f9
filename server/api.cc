#include "server/api.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "server/api_support.h"
#include "server/command_requests.h"
#include "server/index_html.h"  // made from web/index.html
#include "server/views.h"

namespace fleet::server {
namespace {

void SetLoopView(const FleetState& state, v1::FleetSummary& summary) {
  const Liveness& liveness = state.liveness();
  summary.set_devices(static_cast<uint32_t>(state.registry().size()));
  summary.set_online(static_cast<uint32_t>(liveness.count(LivenessState::kOnline)));
  summary.set_stale(static_cast<uint32_t>(liveness.count(LivenessState::kStale)));
  summary.set_offline(static_cast<uint32_t>(liveness.count(LivenessState::kOffline)));
  summary.set_unknown(static_cast<uint32_t>(liveness.count(LivenessState::kUnknown)));
  summary.set_entities(static_cast<uint32_t>(state.registry().entity_count()));
  for (DeviceIndex i = 0; i < state.registry().size(); ++i) {
    const Device& device = state.registry().at(i);
    summary.set_fail_safe(summary.fail_safe() + (device.in_fail_safe() ? 1 : 0));
    summary.set_clone_alarms(summary.clone_alarms() + (device.clone_alarm ? 1 : 0));
  }
  summary.set_unbalanced(static_cast<uint32_t>(state.streams().unbalanced()));
}

class Api {
 public:
  explicit Api(const ApiParts& parts) : p_(parts) {}

  absl::StatusOr<v1::FleetSummary> Summary() {
    return OnLoop<v1::FleetSummary>(p_, [this](Now now) {
      v1::FleetSummary summary;
      SetLoopView(p_.state, summary);
      const v1::Health health = p_.health();
      summary.set_broker_connected(health.broker() == "connected");
      summary.set_store_works(health.store() == "works");
      summary.set_server_version(FLEET_VERSION);
      summary.set_uptime_ms(static_cast<double>(absl::ToInt64Milliseconds(now.mono - started_)));
      return summary;
    });
  }

  absl::StatusOr<v1::DeviceList> Devices(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    DeviceIndex first = 0;
    RETURN_IF_ERROR(ReadNumber(request, "cursor", first));
    return OnLoop<v1::DeviceList>(p_, [this, first, limit](Now now) {
      v1::DeviceList list;
      const auto size = static_cast<DeviceIndex>(p_.state.registry().size());
      const DeviceIndex end = std::min<DeviceIndex>(size, std::min(first, size) + static_cast<DeviceIndex>(limit));
      for (DeviceIndex i = first; i < end; ++i) {
        *list.add_devices() = ViewOf(p_.state.registry().at(i), p_.state.liveness().status(i), now);
      }
      if (end < size) list.set_next_cursor(absl::StrCat(end));
      return list;
    });
  }

  absl::StatusOr<v1::DeviceView> OneDevice(const std::string& id) {
    return OnLoop<v1::DeviceView>(p_, [this, id](Now now) -> absl::StatusOr<v1::DeviceView> {
      const Device* device = p_.state.registry().Find(id);
      if (device == nullptr) return absl::NotFoundError(absl::StrCat("no device ", id));
      return ViewOf(*device, p_.state.liveness().status(device->index), now);
    });
  }

  absl::StatusOr<v1::History> History(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    ASSIGN_OR_RETURN(const EntityId entity, EntityIdOf(request.captures[1]));
    int64_t since_unix_ms = 0;
    RETURN_IF_ERROR(ReadNumber(request, "since_ms", since_unix_ms));
    return p_.reader.History(request.captures[0], entity, since_unix_ms, TextOf(request, "cursor"), limit);
  }

  absl::StatusOr<v1::LivenessHistory> LivenessOf(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    int64_t before = std::numeric_limits<int64_t>::max();
    RETURN_IF_ERROR(ReadNumber(request, "cursor", before));
    return p_.reader.Liveness(request.captures[0], before, limit);
  }

  HttpResponse Healthz() {
    const auto health = OnLoop<v1::Health>(p_, [this](Now) { return p_.health(); });
    HttpResponse response = Respond(health);
    if (health.ok() && !health->ok()) response.status = 503;
    return response;
  }

  HttpResponse Metrics() {
    const auto text = OnLoop<std::string>(p_, [this](Now) { return p_.metrics(); });
    if (!text.ok()) return ErrorResponse(text.status());
    return {.status = 200, .body = *text, .content_type = "text/plain; version=0.0.4"};
  }

  std::unique_ptr<EventSource> Watch() { return p_.watchers.Watch(); }

 private:
  const ApiParts p_;
  const MonoTime started_ = p_.clock.Read().mono;
};

}  // namespace

void AddRoutes(HttpServer& http, const ApiParts& parts) {
  const auto api = std::make_shared<Api>(parts);
  const std::string device = "/api/v1/devices/([^/]+)";
  http.Get("/", [](const HttpRequest&) -> HttpResponse {
    return {.status = 200, .body = kIndexHtml, .content_type = "text/html; charset=utf-8"};
  });
  http.Get("/healthz", [api](const HttpRequest&) { return api->Healthz(); });
  http.Get("/metrics", [api](const HttpRequest&) { return api->Metrics(); });
  http.Get("/api/v1/status", [api](const HttpRequest&) { return Respond(api->Summary()); });
  http.Get("/api/v1/devices", [api](const HttpRequest& r) { return Respond(api->Devices(r)); });
  http.Get(device, [api](const HttpRequest& r) { return Respond(api->OneDevice(r.captures[0])); });
  http.Get(device + "/liveness", [api](const HttpRequest& r) { return Respond(api->LivenessOf(r)); });
  http.Get(device + "/entities/([^/]+)/history", [api](const HttpRequest& r) { return Respond(api->History(r)); });
  http.Stream("/api/v1/stream", [api](const HttpRequest&) { return api->Watch(); });
  const auto requests = std::make_shared<CommandRequests>(parts);
  AddCommandRoutes(http, parts, requests);
  AddCanRoutes(http, parts, requests);
  AddModbusRoutes(http, parts, requests);
  AddStreamRoutes(http, parts);
  AddTelemetryRoutes(http, parts);
}

}  // namespace fleet::server
