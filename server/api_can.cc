// The part of the HTTP API that is about CAN buses: send, tap, clear trouble codes.
#include <memory>
#include <utility>

#include "server/api_support.h"
#include "server/can_views.h"
#include "server/command_requests.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kSendTtl = absl::Seconds(1);
constexpr absl::Duration kTapTtl = absl::Seconds(2);
constexpr absl::Duration kClearTtl = absl::Seconds(5);

absl::Duration TtlOf(uint32_t ttl_ms, absl::Duration otherwise) {
  return ttl_ms == 0 ? otherwise : absl::Milliseconds(ttl_ms);
}

class CanApi {
 public:
  CanApi(const ApiParts& parts, std::shared_ptr<CommandRequests> requests)
      : p_(parts), requests_(std::move(requests)) {}

  absl::StatusOr<v1::CommandView> Send(const HttpRequest& request) {
    v1::CanSendRequest body;
    RETURN_IF_ERROR(FromJson(request.body, body));
    ASSIGN_OR_RETURN(const v1::CanSend send, CanSendOf(request.captures[1], body));
    return Submit(request, send, TtlOf(body.ttl_ms(), kSendTtl));
  }

  absl::StatusOr<v1::CommandView> ClearDtcs(const HttpRequest& request) {
    v1::ClearDtcsRequest body;
    if (!request.body.empty()) RETURN_IF_ERROR(FromJson(request.body, body));
    v1::ClearDtcs clear;
    clear.set_bus(request.captures[1]);
    clear.set_by(body.by());
    return Submit(request, clear, TtlOf(body.ttl_ms(), kClearTtl));
  }

  // Without ?wait= answers when the tap runs or was refused, or when nobody knows after its time to live.
  absl::StatusOr<v1::CommandView> Tap(const HttpRequest& request) {
    v1::CanTapRequest body;
    if (!request.body.empty()) RETURN_IF_ERROR(FromJson(request.body, body));
    ASSIGN_OR_RETURN(const v1::CanTap tap, CanTapOf(request.captures[1], body));
    const absl::Duration ttl = TtlOf(body.ttl_ms(), kTapTtl);
    ASSIGN_OR_RETURN(const auto wait, CommandRequests::WaitOf(request, "running", ttl + 2 * Commands::kAnswerGrace));
    const auto open = [=, this, device = request.captures[0]](Now now) -> absl::StatusOr<CommandId> {
      RETURN_IF_ERROR(p_.taps.CheckRoom());
      ASSIGN_OR_RETURN(const CommandId id, p_.state.Submit(device, tap, {.ttl = ttl}, now, p_.changes));
      p_.taps.Follow(*p_.state.commands().Find(id), *p_.state.registry().Find(device));
      return id;
    };
    return requests_->Submit(open, wait);
  }

  absl::StatusOr<std::unique_ptr<EventSource>> Read(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const CommandId id, CommandIdOf(request.captures[0]));
    return OnLoop<std::unique_ptr<EventSource>>(p_, [this, id](Now) { return p_.taps.Read(id); });
  }

 private:
  absl::StatusOr<v1::CommandView> Submit(const HttpRequest& request, const CommandBody& body, absl::Duration ttl) {
    ASSIGN_OR_RETURN(const auto wait, CommandRequests::WaitOf(request));
    const auto submit = [=, this, device = request.captures[0]](Now now) {
      return p_.state.Submit(device, body, {.ttl = ttl}, now, p_.changes);
    };
    return requests_->Submit(submit, wait);
  }

  const ApiParts p_;
  const std::shared_ptr<CommandRequests> requests_;
};

}  // namespace

void AddCanRoutes(HttpServer& http, const ApiParts& parts, const std::shared_ptr<CommandRequests>& requests) {
  const auto api = std::make_shared<CanApi>(parts, requests);
  const std::string bus = "/api/v1/devices/([^/]+)/can/([^/]+)";
  http.Post(bus + "/send", [api](const HttpRequest& r) { return RespondCreated(api->Send(r)); });
  http.Post(bus + "/taps", [api](const HttpRequest& r) { return RespondCreated(api->Tap(r)); });
  http.Post(bus + "/clear-dtcs", [api](const HttpRequest& r) { return RespondCreated(api->ClearDtcs(r)); });
  http.Stream("/api/v1/taps/([^/]+)/stream", [api](const HttpRequest& r) { return api->Read(r); });
}

}  // namespace fleet::server
