// HTTP for the controllers on this device (docs/protocol.md section 8).
//
//   GET  /health                 200 while the broker is connected, else 503
//   POST /entities/<id>/pose     PoseUpdate: where an external entity is; at least once a second, or it counts as
//   unknown GET  /segments               server-sent events: `segment` (SegmentEvent) and `stop` (its ids only) POST
//   /commands/<id>/result   SegmentResult: how a segment ended POST /telemetry              TelemetryRequest: samples
//   for the durable stream; 204 means taken, 429 try again POST /events                 EventRequest: an event for the
//   durable stream; likewise
//
// A segment for an external entity needs a reader of /segments: with none it is rejected at once as "no_controller".
#pragma once

#include <atomic>
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

namespace fleet::device {

// Serves from threads of its own; what it is told goes into `push` and is answered at once. The loop calls Publish and
// SetLinkUp; `wake` asks the loop to look at listening() again.
class LocalApi {
 public:
  struct Options {
    std::string listen;  // ADDRESS:PORT
    DeviceId device;
    uint32_t epoch = 0;
    std::vector<EntityId> external_entities;
  };
  using Push = std::function<bool(Input)>;  // false: full

  // Errors as HttpServer::Bind.
  static absl::StatusOr<std::unique_ptr<LocalApi>> Open(Options options, const Clock& clock, Push push,
                                                        std::function<void()> wake);

  void Publish(const ControllerEvent& event) { feed_.Publish(event); }
  void SetLinkUp(bool link_up) { link_up_ = link_up; }
  bool listening() const { return feed_.listening(); }
  int port() const { return http_->port(); }
  void Stop() { http_->Stop(); }

 private:
  LocalApi(Options options, const Clock& clock, Push push, std::function<void()> wake,
           std::unique_ptr<HttpServer> http);

  HttpResponse Health() const;
  HttpResponse FeedPose(const HttpRequest& request);
  HttpResponse EndSegment(const HttpRequest& request);
  HttpResponse TakeSamples(const HttpRequest& request);
  HttpResponse TakeEvent(const HttpRequest& request);
  HttpResponse Accept(Input input);
  HttpResponse Store(Input input);

  const Options options_;
  const Push push_;
  ControllerFeed feed_;
  std::atomic<bool> link_up_ = false;
  const std::unique_ptr<HttpServer> http_;  // last: its threads use all of the above
};

}  // namespace fleet::device
