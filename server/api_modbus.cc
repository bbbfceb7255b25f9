// The part of the HTTP API that is about Modbus units.
#include <memory>
#include <utility>

#include "server/api_support.h"
#include "server/command_requests.h"
#include "server/modbus_views.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kBridge = absl::Seconds(10);  // a web bridge has so long to answer the device

class ModbusApi {
 public:
  ModbusApi(const ApiParts& parts, std::shared_ptr<CommandRequests> requests)
      : p_(parts), requests_(std::move(requests)) {}

  HttpResponse Call(const HttpRequest& request) {
    const absl::StatusOr<v1::CommandView> command = Submit(request);
    if (!command.ok()) return ErrorResponse(command.status());
    return {.status = 201, .body = ModbusAnswerJson(*command)};
  }

 private:
  // Without ?wait= answers when the command has ended, or when nobody knows what became of it.
  absl::StatusOr<v1::CommandView> Submit(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const ModbusOrder order, ModbusOrderOf(request.body));
    const absl::Duration patience = order.ttl + 2 * Commands::kAnswerGrace + kBridge;
    ASSIGN_OR_RETURN(const auto wait, CommandRequests::WaitOf(request, "end", patience));
    const auto submit = [=, this, device = request.captures[0]](Now now) {
      return p_.state.Submit(device, order.call, {.ttl = order.ttl}, now, p_.changes);
    };
    return requests_->Submit(submit, wait);
  }

  const ApiParts p_;
  const std::shared_ptr<CommandRequests> requests_;
};

}  // namespace

void AddModbusRoutes(HttpServer& http, const ApiParts& parts, const std::shared_ptr<CommandRequests>& requests) {
  const auto api = std::make_shared<ModbusApi>(parts, requests);
  http.Post("/api/v1/devices/([^/]+)/modbus", [api](const HttpRequest& r) { return api->Call(r); });
}

}  // namespace fleet::server
