// The device's own HTTP API, for programs on this device and whoever has its token (docs/protocol.md section 8).
//
//   GET  /health                 how the device is; 200 while it is well, else 503
//   GET  /config                 the configuration as it holds
//   GET  /metrics                Prometheus text
//   POST /publish                JSON fields: live texts and samples; an empty body publishes the current values
//   POST /telemetry              TelemetryRequest: samples for the durable stream; 204 means taken, 429 try again
//   POST /events                 EventRequest: an event for the durable stream; likewise
//   POST /entities/<id>/pose     PoseUpdate: where an external entity is; at least once a second, or it counts as
//   unknown GET  /segments               server-sent events: `segment` (SegmentEvent) and `stop` (its ids only) POST
//   /commands/<id>/result   SegmentResult: how a segment ended
//
// A segment for an external entity needs a reader of /segments: with none it is rejected at once as "no_controller".
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/http_server.h"
#include "common/ids.h"
#include "device/controller_feed.h"
#include "device/inputs.h"
#include "device/local_access.h"
#include "fleet/v1/api.pb.h"

namespace fleet::device {

// Serves from threads of its own. The loop calls Publish.
class LocalApi {
 public:
  struct Options {
    LocalAccess access;
    DeviceId device;
    uint32_t epoch = 0;
    std::string config_page;
    std::vector<EntityId> external_entities;
  };
  // The ways into the loop; HTTP threads take them. Those that wait for the loop give kUnavailable when it is too busy,
  // or hangs.
  struct Doors {
    std::function<bool(Input)> push;  // does not wait; false: full
    std::function<void()> wake;       // the loop is to look at listening() again
    std::function<absl::StatusOr<v1::DeviceHealth>()> health;
    std::function<absl::StatusOr<std::string>()> metrics;
    std::function<absl::StatusOr<v1::PublishResult>(Input)> publish;  // a PublishRequest, or ValuesAsked
  };
  struct Counters {
    uint64_t publish_taken = 0;  // requests
    uint64_t publish_refused = 0;
    uint64_t unauthorized = 0;  // requests of any kind without the token
  };

  // Errors as HttpServer::Bind.
  static absl::StatusOr<std::unique_ptr<LocalApi>> Open(Options options, const Clock& clock, Doors doors);

  void Publish(const ControllerEvent& event) { feed_.Publish(event); }
  bool listening() const { return feed_.listening(); }
  Counters counters() const;  // any thread
  int port() const { return http_->port(); }
  void Stop() { http_->Stop(); }

 private:
  LocalApi(Options options, const Clock& clock, Doors doors, std::unique_ptr<HttpServer> http);
  void AddRoutes();

  HttpResponse AnswerHealth(const HttpRequest& request) const;
  HttpResponse AnswerMetrics() const;
  HttpResponse PublishFields(const HttpRequest& request);
  absl::StatusOr<v1::PublishResult> PublishNow(const std::string& body);
  HttpResponse FeedPose(const HttpRequest& request);
  HttpResponse EndSegment(const HttpRequest& request);
  HttpResponse TakeSamples(const HttpRequest& request);
  HttpResponse TakeEvent(const HttpRequest& request);
  HttpResponse Accept(Input input);
  HttpResponse Store(Input input);

  const Options options_;
  const Doors doors_;
  ControllerFeed feed_;
  std::atomic<uint64_t> publish_taken_ = 0;
  std::atomic<uint64_t> publish_refused_ = 0;
  const std::unique_ptr<HttpServer> http_;  // last: its threads use all of the above
};

}  // namespace fleet::device
