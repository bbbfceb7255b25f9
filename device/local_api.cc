#include "device/local_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "fleet/v1/api.pb.h"

namespace fleet::device {
namespace {

constexpr int kThreads = 2;
constexpr int kMaxStreams = 8;
constexpr absl::Duration kStreamKeepAlive = absl::Seconds(1);  // how soon a reader that is gone is missed

}  // namespace

absl::StatusOr<std::unique_ptr<LocalApi>> LocalApi::Open(Options options, const Clock& clock, Push push,
                                                         std::function<void()> wake) {
  ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> http, HttpServer::Bind({.listen = options.listen,
                                                                       .threads = kThreads,
                                                                       .max_streams = kMaxStreams,
                                                                       .stream_keep_alive = kStreamKeepAlive}));
  return std::unique_ptr<LocalApi>(
      new LocalApi(std::move(options), clock, std::move(push), std::move(wake), std::move(http)));
}

LocalApi::LocalApi(Options options, const Clock& clock, Push push, std::function<void()> wake,
                   std::unique_ptr<HttpServer> http)
    : options_(std::move(options)), push_(std::move(push)), feed_(clock, std::move(wake)), http_(std::move(http)) {
  http_->Get("/health", [this](const HttpRequest&) { return Health(); });
  http_->Post("/entities/([0-9]+)/pose", [this](const HttpRequest& request) { return FeedPose(request); });
  http_->Post("/commands/([0-9]+)/result", [this](const HttpRequest& request) { return EndSegment(request); });
  http_->Stream("/segments", [this](const HttpRequest&) { return feed_.Subscribe(); });
  http_->Start();
}

HttpResponse LocalApi::Health() const {
  const bool ok = link_up_;
  return {.status = ok ? 200 : 503,
          .body = absl::StrCat("{\"ok\":", ok ? "true" : "false", ",\"device_id\":\"", options_.device.view(),
                               "\",\"epoch\":", options_.epoch, ",\"broker\":\"", ok ? "connected" : "not connected",
                               "\"}\n")};
}

HttpResponse LocalApi::FeedPose(const HttpRequest& request) {
  uint32_t id = 0;
  if (!absl::SimpleAtoi(request.captures[0], &id) ||
      std::ranges::find(options_.external_entities, EntityId{id}) == options_.external_entities.end()) {
    return ErrorResponse(absl::NotFoundError(
        absl::StrCat("no external entity ", request.captures[0], " here: see `entities` and `driver` of this device")));
  }
  v1::PoseUpdate update;
  if (absl::Status status = FromJson(request.body, update); !status.ok()) return ErrorResponse(status);
  return Accept(PoseFed{.entity = EntityId{id},
                        .pose = {.x_mm = update.x_mm(),
                                 .y_mm = update.y_mm(),
                                 .angle_mdeg = update.angle_mdeg(),
                                 .vx_mm_s = update.vx_mm_s(),
                                 .vy_mm_s = update.vy_mm_s()}});
}

HttpResponse LocalApi::EndSegment(const HttpRequest& request) {
  v1::SegmentResult result;
  if (absl::Status status = FromJson(request.body, result); !status.ok()) return ErrorResponse(status);
  uint64_t id = 0;
  if (!absl::SimpleAtoi(request.captures[0], &id) || !feed_.Finish(CommandId{id})) {
    return ErrorResponse(absl::NotFoundError(
        absl::StrCat("command ", request.captures[0], " does not run here: replaced, stopped or ended already")));
  }
  return Accept(SegmentEnded{.command = CommandId{id}, .done = result.done(), .detail = result.detail()});
}

HttpResponse LocalApi::Accept(Input input) {
  if (!push_(std::move(input))) return ErrorResponse(absl::UnavailableError("the agent is overloaded: try again"));
  return {.status = 204};
}

}  // namespace fleet::device
