// How the device's own API comes to the loop.
#include <utility>

#include "common/ask_loop.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "device/app.h"
#include "device/metrics_page.h"

namespace fleet::device {
namespace {

constexpr absl::Duration kLoopPatience = absl::Seconds(1);  // one that takes longer hangs

}  // namespace

absl::Status App::OpenApi(LocalApi::Options options) {
  ASSIGN_OR_RETURN(api_, LocalApi::Open(std::move(options), clock_, ApiDoors()));
  agent_.SetControllerSink([api = api_.get()](const ControllerEvent& event) { api->Publish(event); });
  LogInfo("local api listens port={}", api_->port());
  return absl::OkStatus();
}

LocalApi::Doors App::ApiDoors() {
  return {
      .push = [this](Input input) { return Push(std::move(input)); },
      .wake = [this] { loop_.Wake(); },
      .health =
          [this] {
            return AskLoop<v1::DeviceHealth>(loop_, clock_, kLoopPatience, [this](Now now) { return HealthPage(now); });
          },
      .metrics =
          [this] {
            return AskLoop<std::string>(loop_, clock_, kLoopPatience, [this](Now now) { return Metrics(now); });
          },
      .publish =
          [this](Input input) {
            return AskLoop<v1::PublishResult>(loop_, clock_, kLoopPatience, [this, input = std::move(input)](Now now) {
              return Publish(input, now);
            });
          }};
}

v1::DeviceHealth App::HealthPage(Now now) const {
  return health_.Page(agent_.agent(), {.waiting = inbox_.waiting(), .dropped = inbox_.dropped()}, now);
}

std::string App::Metrics(Now now) const {
  return MetricsText({.agent = agent_.agent(),
                      .uptime = now.mono - started_,
                      .inbox_waiting = inbox_.waiting(),
                      .inbox_dropped = inbox_.dropped(),
                      .spool_works = health_.spool_works(),
                      .api = api_->counters()});
}

v1::PublishResult App::Publish(const Input& input, Now now) {
  const Agent& agent = agent_.agent();
  const uint64_t before = agent.published_fields();
  agent_.Handle(input, now);
  v1::PublishResult result;
  result.set_published(static_cast<uint32_t>(agent.published_fields() - before));
  result.set_live(agent.link_up());
  return result;
}

}  // namespace fleet::device
