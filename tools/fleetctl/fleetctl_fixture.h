// Runs the verbs in process, against a real HTTP server that answers what a test puts in.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/http_server.h"
#include "common/mutex.h"
#include "common/testing/fake_clock.h"
#include "tools/fleetctl/session.h"

namespace fleet {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// Gives out what it was made with and ends.
class ShortSource : public EventSource {
 public:
  explicit ShortSource(std::vector<Item> items) : items_(std::move(items)) {}
  bool Next(absl::Duration, std::vector<Item>& out) override {
    out.insert(out.end(), items_.begin(), items_.end());
    return false;
  }

 private:
  const std::vector<Item> items_;
};

// Gives out what it was made with; then `at_end` runs, and it ends.
class TapSource : public EventSource {
 public:
  TapSource(std::vector<v1::CanTapEvent> events, std::function<void()> at_end)
      : events_(std::move(events)), at_end_(std::move(at_end)) {}
  bool Next(absl::Duration, std::vector<Item>& out) override {
    for (const v1::CanTapEvent& event : events_) {
      out.push_back(
          {.event = event.has_end() ? "end" : "frames", .data = std::string(absl::StripSuffix(ToJson(event), "\n"))});
    }
    if (events_.empty() && at_end_ != nullptr) at_end_();
    const bool more = !events_.empty() && at_end_ != nullptr;
    events_.clear();
    return more;
  }

 private:
  std::vector<v1::CanTapEvent> events_;
  const std::function<void()> at_end_;
};

// Stands for a server. Each path has a handler, or 404.
class FakeServer {
 public:
  FakeServer() : http_(*HttpServer::Bind({.listen = "127.0.0.1:0"})) {
    const auto answer = [this](const HttpRequest& request) { return Answer(request); };
    http_->Stream("/api/v1/stream", [this](const HttpRequest&) { return NextStream(); });
    http_->Stream("/api/v1/taps/17/stream", [this](const HttpRequest&) { return NextTap(); });
    http_->Get("/api/.*", answer);
    http_->Post("/api/.*", answer);
    http_->Start();
  }
  ~FakeServer() { http_->Stop(); }

  void On(const std::string& path, HttpServer::Handler handler) {
    MutexLock lock(mu_);
    handlers_[path] = std::move(handler);
  }
  void On(const std::string& path, const google::protobuf::Message& message) {
    On(path, [response = JsonResponse(message)](const HttpRequest&) { return response; });
  }
  // What the streams bring, one after the other; `at_end` runs when one more is asked for.
  void OnStream(std::vector<std::vector<v1::StreamEvent>> streams, std::function<void()> at_end) {
    MutexLock lock(mu_);
    streams_ = std::move(streams);
    at_end_ = std::move(at_end);
  }

  // What the readers of tap 17 get, one after the other; at the end of each `at_end` runs. Then there is no such tap.
  void OnTap(std::vector<std::vector<v1::CanTapEvent>> taps, std::function<void()> at_end = nullptr) {
    MutexLock lock(mu_);
    taps_ = std::move(taps);
    tapped_ = 0;
    at_tap_end_ = std::move(at_end);
  }

  std::string url() const { return absl::StrCat("http://127.0.0.1:", http_->port()); }

 private:
  HttpResponse Answer(const HttpRequest& request) {
    HttpServer::Handler handler;
    {
      MutexLock lock(mu_);
      const auto found = handlers_.find(request.path);
      if (found == handlers_.end()) {
        return ErrorResponse(absl::NotFoundError(absl::StrCat("nothing at ", request.path)));
      }
      handler = found->second;
    }
    return handler(request);
  }

  absl::StatusOr<std::unique_ptr<EventSource>> NextStream() {
    MutexLock lock(mu_);
    if (opened_ == streams_.size()) {
      at_end_();
      return absl::UnavailableError("no more streams");
    }
    std::vector<EventSource::Item> items;
    for (const v1::StreamEvent& event : streams_[opened_]) {
      items.push_back({.event = "any", .data = std::string(absl::StripSuffix(ToJson(event), "\n"))});
    }
    ++opened_;
    return std::make_unique<ShortSource>(std::move(items));
  }

  absl::StatusOr<std::unique_ptr<EventSource>> NextTap() {
    MutexLock lock(mu_);
    if (tapped_ == taps_.size()) return absl::NotFoundError("no tap 17 is open");
    return std::make_unique<TapSource>(taps_[tapped_++], at_tap_end_);
  }

  Mutex mu_;
  std::map<std::string, HttpServer::Handler> handlers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<v1::StreamEvent>> streams_ ABSL_GUARDED_BY(mu_);
  size_t opened_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> at_end_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<v1::CanTapEvent>> taps_ ABSL_GUARDED_BY(mu_);
  size_t tapped_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> at_tap_end_ ABSL_GUARDED_BY(mu_);
  const std::unique_ptr<HttpServer> http_;
};

class FleetctlTest : public ::testing::Test {
 protected:
  FleetctlTest() : client_(server_.url()), interrupt_([this] { client_.Cancel(); }) {}

  // Runs `fleetctl WORDS`; what it prints is in out() and err().
  int Run(absl::string_view words) {
    auto parsed = ParseCommandLine(absl::StrSplit(words, ' '), {{"FLEET_SERVER", server_.url()}});
    if (const auto* finished = std::get_if<Finished>(&parsed)) {
      err_ << finished->err;
      return finished->exit_code;
    }
    const CommandLine& line = std::get<CommandLine>(parsed);
    Session session{.client = client_,
                    .interrupt = interrupt_,
                    .clock = clock_,
                    .zone = absl::UTCTimeZone(),
                    .format = line.format,
                    .screen = screen_,
                    .redraw_period = absl::Milliseconds(1),
                    .poll_period = absl::Milliseconds(1),
                    .follow_period = absl::Milliseconds(1)};
    return RunVerb(session, line.verb);
  }

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }
  double NowMs() const { return static_cast<double>(clock_.Read().unix_ms()); }

  v1::DeviceView Device(const std::string& id, const std::string& state, const std::string& reason = "") const {
    v1::DeviceView device;
    device.set_id(id);
    device.set_state(state);
    device.set_reason(reason);
    device.set_epoch(4);
    device.set_version("0.1.0");
    device.set_last_heartbeat_ms_ago(state == "online" ? 300 : 180'000);
    device.set_clock_skew_ms(-12);
    device.set_state_since_unix_ms(NowMs() - 180'000);
    device.mutable_loss()->set_expected(1200);
    device.mutable_loss()->set_stored(1197);
    device.mutable_loss()->set_missing(3);
    v1::EntityView& entity = *device.add_entities();
    entity.set_entity_id(2);
    entity.set_x_mm(-1250);
    entity.set_angle_mdeg(90'000);
    entity.set_vx_mm_s(500);
    return device;
  }

  // The command with the first `steps` of its life; done at the sixth.
  v1::CommandView Command(int steps, absl::string_view end = "done") const {
    const std::vector<std::string> states = {"queued", "sent", "received", "accepted", "running", std::string(end)};
    v1::CommandView command;
    command.set_command_id("17");
    command.set_device_id("pi-1");
    command.set_entity_id(2);
    command.set_issued_unix_ms(NowMs());
    command.set_ttl_ms(5000);
    command.set_summary("line (-100,20) to (900,20) at 500 to 300 mm/s");
    for (int i = 0; i < steps; ++i) {
      v1::CommandStepView& step = *command.add_steps();
      step.set_state(states[static_cast<size_t>(i)]);
      step.set_since_issue_ms(i * 1.5);
      step.set_at_unix_ms(NowMs() + i);
      command.set_state(step.state());
    }
    return command;
  }

  // A cancel or a stop, done at the sixth step.
  v1::CommandView Cancel(const std::string& id, const std::string& device, int steps,
                         absl::string_view end = "done") const {
    v1::CommandView command = Command(steps, end);
    command.set_command_id(id);
    command.set_device_id(device);
    command.set_entity_id(0);
    command.set_kind("cancel");
    command.set_summary("cancel everything");
    return command;
  }

  void ServeThreeDevices() {
    v1::FleetSummary summary;
    summary.set_devices(3);
    summary.set_online(1);
    summary.set_stale(1);
    summary.set_offline(1);
    summary.set_entities(3);
    summary.set_broker_connected(true);
    summary.set_store_works(true);
    server_.On("/api/v1/status", summary);
    server_.On("/api/v1/devices", [this](const HttpRequest& request) {
      v1::DeviceList page;
      if (!request.query.contains("cursor")) {
        *page.add_devices() = Device("pi-1", "offline", "lost");
        *page.add_devices() = Device("pi-2", "stale");
        page.set_next_cursor("after pi-2 &c");
      } else if (request.query.at("cursor") == "after pi-2 &c") {
        *page.add_devices() = Device("pi-3", "online");
      }
      return JsonResponse(page);
    });
  }

  FakeServer server_;
  FakeClock clock_;
  Client client_;
  Interrupt interrupt_;
  std::ostringstream out_;
  std::ostringstream err_;
  Screen screen_{.out = out_, .err = err_};
};

}  // namespace fleet
