#include "device/local_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "device/outbox.h"
#include "device/sample.h"
#include "device/utf8.h"
#include "fleet/v1/api.pb.h"

namespace fleet::device {
namespace {

constexpr char kHealthPath[] = "/health";
constexpr int kThreads = 2;
constexpr int kMaxStreams = 8;
constexpr size_t kMaxBodyBytes = 1 << 20;  // of telemetry
constexpr int kMaxSamples = 10'000;        // of one request
constexpr size_t kMaxDetailBytes = 200;
constexpr double kMaxUnixMs = 253'402'300'799'999;             // year 9999
constexpr absl::Duration kStreamKeepAlive = absl::Seconds(1);  // how soon a reader that is gone is missed

absl::StatusOr<Sample> ToSample(const v1::TelemetrySample& in) {
  if (!IsSignalName(in.signal())) {
    return absl::InvalidArgumentError(absl::StrCat("signal '", in.signal(),
                                                   "' is not group/signal: two or more parts of ",
                                                   "A-Z a-z 0-9 . _ -, at most ", kMaxSignalBytes, " bytes"));
  }
  if (!(in.at_unix_ms() >= 0 && in.at_unix_ms() <= kMaxUnixMs)) {
    return absl::InvalidArgumentError("at_unix_ms is not a time, Unix milliseconds");
  }
  return Sample{.signal = in.signal(), .value = in.value(), .at_unix_ms = static_cast<int64_t>(in.at_unix_ms())};
}

absl::StatusOr<SamplesTaken> ToSamples(const v1::TelemetryRequest& request) {
  if (request.samples_size() > kMaxSamples) {
    return absl::OutOfRangeError(absl::StrCat(request.samples_size(), " samples are more than ", kMaxSamples));
  }
  SamplesTaken taken;
  taken.samples.reserve(static_cast<size_t>(request.samples_size()));
  for (int i = 0; i < request.samples_size(); ++i) {
    absl::StatusOr<Sample> sample = ToSample(request.samples(i));
    if (!sample.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("samples[", i, "]: ", sample.status().message()));
    }
    taken.samples.push_back(*std::move(sample));
  }
  return taken;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalApi>> LocalApi::Open(Options options, const Clock& clock, Doors doors) {
  ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> http, HttpServer::Bind({.listen = options.access.listen,
                                                                       .threads = kThreads,
                                                                       .max_streams = kMaxStreams,
                                                                       .max_body_bytes = kMaxBodyBytes,
                                                                       .stream_keep_alive = kStreamKeepAlive,
                                                                       .token = options.access.token,
                                                                       .open_paths = {kHealthPath}}));
  return std::unique_ptr<LocalApi>(new LocalApi(std::move(options), clock, std::move(doors), std::move(http)));
}

LocalApi::LocalApi(Options options, const Clock& clock, Doors doors, std::unique_ptr<HttpServer> http)
    : options_(std::move(options)),
      doors_(std::move(doors)),
      feed_(
          clock, doors_.wake,
          [this](CommandId command) { doors_.push(SegmentEnded{.command = command, .done = false, .expired = true}); }),
      http_(std::move(http)) {
  AddRoutes();
  http_->Start();
}

void LocalApi::AddRoutes() {
  http_->Get(kHealthPath, [this](const HttpRequest& request) { return AnswerHealth(request); });
  http_->Get("/config", [this](const HttpRequest&) { return HttpResponse{.body = options_.config_page}; });
  http_->Get("/metrics", [this](const HttpRequest&) { return AnswerMetrics(); });
  http_->Post("/publish", [this](const HttpRequest& request) { return PublishFields(request); });
  http_->Post("/telemetry", [this](const HttpRequest& request) { return TakeSamples(request); });
  http_->Post("/events", [this](const HttpRequest& request) { return TakeEvent(request); });
  http_->Post("/entities/([0-9]+)/pose", [this](const HttpRequest& request) { return FeedPose(request); });
  http_->Post("/commands/([0-9]+)/result", [this](const HttpRequest& request) { return EndSegment(request); });
  http_->Stream("/segments", [this](const HttpRequest&) { return feed_.Subscribe(); });
}

LocalApi::Counters LocalApi::counters() const {
  return {.publish_taken = publish_taken_, .publish_refused = publish_refused_, .unauthorized = http_->unauthorized()};
}

// Who has no token learns whether it is well, and no more. A loop that hangs is not well.
HttpResponse LocalApi::AnswerHealth(const HttpRequest& request) const {
  absl::StatusOr<v1::DeviceHealth> health = doors_.health();
  const bool ok = health.ok() && health->ok();
  HttpResponse response{.status = ok ? 200 : 503};
  if (!request.bears_token) {
    response.body = ok ? "{\"ok\":true}\n" : "{\"ok\":false}\n";
  } else if (health.ok()) {
    response.body = ToJson(*health);
  } else {
    v1::DeviceHealth unknown;
    unknown.set_device_id(options_.device.str());
    unknown.set_epoch(options_.epoch);
    unknown.set_broker("unknown");
    unknown.add_problems()->set_what("the agent's loop does not answer");
    response.body = ToJson(unknown);
  }
  return response;
}

HttpResponse LocalApi::AnswerMetrics() const {
  absl::StatusOr<std::string> page = doors_.metrics();
  if (!page.ok()) return ErrorResponse(page.status());
  return {.body = *std::move(page), .content_type = "text/plain; version=0.0.4"};
}

HttpResponse LocalApi::PublishFields(const HttpRequest& request) {
  const absl::StatusOr<v1::PublishResult> result = PublishNow(request.body);
  ++(result.ok() ? publish_taken_ : publish_refused_);
  return result.ok() ? JsonResponse(*result) : ErrorResponse(result.status());
}

absl::StatusOr<v1::PublishResult> LocalApi::PublishNow(const std::string& body) {
  if (absl::StripAsciiWhitespace(body).empty()) return doors_.publish(ValuesAsked());
  ASSIGN_OR_RETURN(PublishRequest fields, ParsePublishRequest(body));
  return doors_.publish(std::move(fields));
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
  return Accept(SegmentEnded{
      .command = CommandId{id}, .done = result.done(), .detail = CutUtf8(result.detail(), kMaxDetailBytes)});
}

HttpResponse LocalApi::TakeSamples(const HttpRequest& request) {
  v1::TelemetryRequest body;
  if (absl::Status status = FromJson(request.body, body); !status.ok()) return ErrorResponse(status);
  absl::StatusOr<SamplesTaken> samples = ToSamples(body);
  if (!samples.ok()) return ErrorResponse(samples.status());
  return Store(*std::move(samples));
}

HttpResponse LocalApi::TakeEvent(const HttpRequest& request) {
  v1::EventRequest body;
  if (absl::Status status = FromJson(request.body, body); !status.ok()) return ErrorResponse(status);
  if (body.name().empty() || body.name().size() > Outbox::kMaxEventNameBytes) {
    return ErrorResponse(
        absl::InvalidArgumentError(absl::StrCat("name: not 1 to ", Outbox::kMaxEventNameBytes, " bytes")));
  }
  if (body.detail().size() > Outbox::kMaxEventDetailBytes) {
    return ErrorResponse(
        absl::InvalidArgumentError(absl::StrCat("detail: more than ", Outbox::kMaxEventDetailBytes, " bytes")));
  }
  EventTold told;
  told.event.set_kind(v1::EVENT_KIND_REPORTED);
  told.event.set_entity_id(body.entity_id());
  told.event.set_name(body.name());
  told.event.set_detail(body.detail());
  return Store(std::move(told));
}

HttpResponse LocalApi::Store(Input input) {
  if (doors_.push(std::move(input))) return {.status = 204};
  return ErrorResponse(absl::ResourceExhaustedError("more is on its way already than the agent takes: try again"));
}

HttpResponse LocalApi::Accept(Input input) {
  if (!doors_.push(std::move(input)))
    return ErrorResponse(absl::UnavailableError("the agent is overloaded: try again"));
  return {.status = 204};
}

}  // namespace fleet::device
