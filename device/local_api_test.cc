#include "device/local_api.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/testing/fake_clock.h"
#include "common/testing/http_probe.h"

namespace fleet::device {
namespace {

constexpr char kToken[] = "0123456789abcdef";

class LocalApiTest : public testing::Test {
 protected:
  LocalApiTest() {
    LocalApi::Options options{.access = {.listen = "127.0.0.1:0"},
                              .device = DeviceId::Parse("pi-1").value(),
                              .epoch = 3,
                              .config_page = "{\"id\":\"pi-1\"}\n",
                              .external_entities = {EntityId{9}}};
    api_ = LocalApi::Open(options, clock_, Doors()).value();
    options.access.token = kToken;
    guarded_ = LocalApi::Open(std::move(options), clock_, Doors()).value();
  }
  ~LocalApiTest() override {
    api_->Stop();
    guarded_->Stop();
  }

  LocalApi::Doors Doors() {
    return {.push = [this](Input input) { return Push(std::move(input)); },
            .wake = [this] { NoteChange(); },
            .health = [this] { return TakeHealth(); },
            .metrics = []() -> absl::StatusOr<std::string> { return "# HELP x y\n"; },
            .publish = [this](Input input) { return TakePublish(std::move(input)); }};
  }
  absl::StatusOr<v1::DeviceHealth> TakeHealth() {
    MutexLock lock(mu_);
    return health_;
  }
  absl::StatusOr<v1::PublishResult> TakePublish(Input input) {
    MutexLock lock(mu_);
    if (full_) return absl::UnavailableError("hangs");
    inputs_.push_back(std::move(input));
    v1::PublishResult result;
    result.set_published(5);
    return result;
  }
  void SetHealth(absl::StatusOr<v1::DeviceHealth> health) {
    MutexLock lock(mu_);
    health_ = std::move(health);
  }

  bool Push(Input input) {
    MutexLock lock(mu_);
    if (full_) return false;
    inputs_.push_back(std::move(input));
    return true;
  }
  void NoteChange() {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  }
  void AwaitListening(bool listening) {
    while (api_->listening() != listening) {
      MutexLock lock(mu_);
      changed_.WaitFor(mu_, absl::Milliseconds(10));
    }
  }
  HttpProbeResult Post(const std::string& path, const std::string& body) {
    return Fetch(api_->port(), "POST", path, body);
  }
  std::vector<Input> inputs() {
    MutexLock lock(mu_);
    return inputs_;
  }
  SegmentStarted Started() const {
    SegmentOrder order{
        .command = CommandId{7}, .entity = EntityId{9}, .expires_at = clock_.Read().mono + absl::Seconds(3)};
    order.segment.set_type(v1::SEGMENT_TYPE_LINE);
    return {order};
  }

  FakeClock clock_;
  Mutex mu_;
  CondVar changed_;
  bool full_ = false;
  std::vector<Input> inputs_;
  absl::StatusOr<v1::DeviceHealth> health_ = v1::DeviceHealth();
  std::unique_ptr<LocalApi> api_;
  std::unique_ptr<LocalApi> guarded_;  // by a token
};

v1::DeviceHealth Well() {
  v1::DeviceHealth health;
  health.set_ok(true);
  health.set_device_id("pi-1");
  health.set_broker("connected");
  return health;
}

TEST_F(LocalApiTest, HealthIs200ExactlyWhileTheAgentSaysSo) {
  EXPECT_EQ(Fetch(api_->port(), "GET", "/health").status, 503);
  SetHealth(Well());
  const HttpProbeResult up = Fetch(api_->port(), "GET", "/health");
  EXPECT_EQ(up.status, 200);
  EXPECT_EQ(up.body.rfind(R"({"ok":true,"device_id":"pi-1","epoch":0,"broker":"connected",)", 0), 0u) << up.body;
}

TEST_F(LocalApiTest, ALoopThatHangsIsNotWell) {
  SetHealth(absl::UnavailableError("no answer"));
  const HttpProbeResult result = Fetch(api_->port(), "GET", "/health");
  EXPECT_EQ(result.status, 503);
  EXPECT_NE(result.body.find("does not answer"), std::string::npos) << result.body;
  EXPECT_EQ(result.body.rfind(R"({"ok":false,"device_id":"pi-1","epoch":3,)", 0), 0u) << result.body;
}

TEST_F(LocalApiTest, WithoutTheTokenOneLearnsOnlyWhetherItIsWell) {
  EXPECT_EQ(Fetch(guarded_->port(), "GET", "/health").body, "{\"ok\":false}\n");
  SetHealth(Well());
  const HttpProbeResult up = Fetch(guarded_->port(), "GET", "/health");
  EXPECT_EQ(up.status, 200);
  EXPECT_EQ(up.body, "{\"ok\":true}\n");
  for (const char* path : {"/config", "/metrics", "/segments", "/nothing"}) {
    EXPECT_EQ(Fetch(guarded_->port(), "GET", path).status, 401) << path;
  }
  for (const char* path : {"/publish", "/telemetry", "/events", "/entities/9/pose", "/commands/7/result"}) {
    EXPECT_EQ(Fetch(guarded_->port(), "POST", path, "{}").status, 401) << path;
  }
  EXPECT_TRUE(inputs().empty());
  EXPECT_EQ(guarded_->counters().unauthorized, 9u);
}

TEST_F(LocalApiTest, WithTheTokenAllIsAsWithoutAGuard) {
  SetHealth(Well());
  HttpConnection connection(guarded_->port());
  connection.Send(absl::StrCat("GET /health HTTP/1.1\r\nAuthorization: Bearer ", kToken, "\r\n\r\n"));
  EXPECT_NE(connection.ReadAnswer().body.find("pi-1"), std::string::npos);
}

TEST_F(LocalApiTest, ConfigAndMetricsAreShown) {
  EXPECT_EQ(Fetch(api_->port(), "GET", "/config").body, "{\"id\":\"pi-1\"}\n");
  const HttpProbeResult metrics = Fetch(api_->port(), "GET", "/metrics");
  EXPECT_EQ(metrics.body, "# HELP x y\n");
  EXPECT_EQ(metrics.headers.at("content-type"), "text/plain; version=0.0.4");
}

TEST_F(LocalApiTest, FieldsReachTheAgentAndTheirNumberComesBack) {
  const HttpProbeResult result = Post("/publish", R"({"engine":{"rpm":3500},"timestamp":1760000000})");
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.body, "{\"published\":5,\"live\":false}\n");
  ASSERT_EQ(inputs().size(), 1u);
  const auto request = std::get<PublishRequest>(inputs()[0]);
  ASSERT_EQ(request.fields.size(), 1u);
  EXPECT_EQ(request.fields[0].signal, "engine/rpm");
  EXPECT_EQ(request.at_unix_ms, 1'760'000'000'000);
}

TEST_F(LocalApiTest, AnEmptyBodyAsksForTheCurrentValues) {
  EXPECT_EQ(Post("/publish", "").status, 200);
  EXPECT_EQ(Post("/publish", " \r\n").status, 200);
  ASSERT_EQ(inputs().size(), 2u);
  EXPECT_TRUE(std::holds_alternative<ValuesAsked>(inputs()[1]));
}

TEST_F(LocalApiTest, FieldsThatCannotBePublishedAreRefusedAndCounted) {
  EXPECT_EQ(Post("/publish", "{").status, 400);
  EXPECT_NE(Post("/publish", "{").body.find("byte 2, line 1, column 2"), std::string::npos);
  EXPECT_NE(Post("/publish", R"({"gateway/uptime":1})").body.find("gateway/uptime"), std::string::npos);
  EXPECT_EQ(Post("/publish", "{" + std::string(PublishRequest::kMaxBytes, ' ') + "}").status, 413);
  EXPECT_TRUE(inputs().empty());
  {
    MutexLock lock(mu_);
    full_ = true;
  }
  EXPECT_EQ(Post("/publish", "{}").status, 503);
  EXPECT_EQ(api_->counters().publish_refused, 5u);
  EXPECT_EQ(api_->counters().publish_taken, 0u);
}

TEST_F(LocalApiTest, APoseReachesTheAgent) {
  EXPECT_EQ(Post("/entities/9/pose", R"({"x_mm":-5,"angle_mdeg":90000,"vy_mm_s":3})").status, 204);
  ASSERT_EQ(inputs().size(), 1);
  const auto fed = std::get<PoseFed>(inputs()[0]);
  EXPECT_EQ(fed.entity, EntityId{9});
  EXPECT_EQ(fed.pose, (Pose{.x_mm = -5, .angle_mdeg = 90'000, .vy_mm_s = 3}));
}

TEST_F(LocalApiTest, APoseOfNoExternalEntityOrWithoutSenseIsRefused) {
  EXPECT_EQ(Post("/entities/1/pose", "{}").status, 404);
  EXPECT_EQ(Post("/entities/99999999999/pose", "{}").status, 404);
  EXPECT_EQ(Post("/entities/9/pose", "{\"x_mm\":").status, 400);
  EXPECT_EQ(Post("/entities/9/pose", "{\"x\":1}").status, 400);
  EXPECT_TRUE(inputs().empty());
}

TEST_F(LocalApiTest, AFullAgentSaysSo) {
  {
    MutexLock lock(mu_);
    full_ = true;
  }
  EXPECT_EQ(Post("/entities/9/pose", "{}").status, 503);
}

TEST_F(LocalApiTest, AControllerReadsSegmentsAndSaysHowTheyEnd) {
  HttpConnection controller(api_->port());
  controller.Send(HttpRequestText("GET", "/segments"));
  EXPECT_EQ(controller.ReadHead().status, 200);
  AwaitListening(true);
  api_->Publish(Started());
  const std::optional<std::string> event = controller.ReadEvent();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->rfind("event: segment\ndata: {\"command_id\":\"7\",\"entity_id\":9,", 0), 0) << *event;

  EXPECT_EQ(Post("/commands/7/result", R"({"done":false,"detail":"stuck"})").status, 204);
  EXPECT_EQ(Post("/commands/7/result", R"({"done":true})").status, 404);
  ASSERT_EQ(inputs().size(), 1);
  const auto ended = std::get<SegmentEnded>(inputs()[0]);
  EXPECT_EQ(ended.command, CommandId{7});
  EXPECT_FALSE(ended.done);
  EXPECT_EQ(ended.detail, "stuck");
}

TEST_F(LocalApiTest, AControllerThatGoesIsMissed) {
  {
    HttpConnection controller(api_->port());
    controller.Send(HttpRequestText("GET", "/segments"));
    EXPECT_EQ(controller.ReadHead().status, 200);
    AwaitListening(true);
  }
  // The stream notices at its next write.
  while (api_->listening()) api_->Publish(Started());
}

TEST_F(LocalApiTest, SamplesAreTakenTogetherOrNotAtAll) {
  EXPECT_EQ(Post("/telemetry", R"({"samples":[{"signal":"bms/soc","value":71.5,"at_unix_ms":1760000000123},)"
                               R"({"signal":"a/b/c","value":"NaN"}]})")
                .status,
            204);
  ASSERT_EQ(inputs().size(), 1);
  const auto taken = std::get<SamplesTaken>(inputs()[0]);
  ASSERT_EQ(taken.samples.size(), 2);
  EXPECT_EQ(taken.samples[0].signal, "bms/soc");
  EXPECT_EQ(taken.samples[0].value, 71.5);
  EXPECT_EQ(taken.samples[0].at_unix_ms, 1'760'000'000'123);
  EXPECT_EQ(taken.samples[1].at_unix_ms, 0);

  const HttpProbeResult bad = Post("/telemetry", R"({"samples":[{"signal":"a/b"},{"signal":"soc"}]})");
  EXPECT_EQ(bad.status, 400);
  EXPECT_NE(bad.body.find("samples[1]: signal 'soc' is not group/signal"), std::string::npos) << bad.body;
  EXPECT_EQ(Post("/telemetry", R"({"samples":[{"signal":"a/b","at_unix_ms":-1}]})").status, 400);
  EXPECT_EQ(inputs().size(), 1);
}

TEST_F(LocalApiTest, BadJsonIsRefusedWithItsPlace) {
  const HttpProbeResult bad = Post("/telemetry", R"({"samples":[{"signal":"a/b",,}]})");
  EXPECT_EQ(bad.status, 400);
  EXPECT_NE(bad.body.find("^"), std::string::npos) << bad.body;  // under the place
  EXPECT_EQ(Post("/telemetry", R"({"sample":[]})").status, 400);
}

TEST_F(LocalApiTest, AMebibyteOfTelemetryIsTheMost) {
  std::string body = R"({"samples":[{"signal":"a/b"}])";
  EXPECT_EQ(Post("/telemetry", body + std::string((1 << 20) - body.size() - 1, ' ') + "}").status, 204);
  EXPECT_EQ(Post("/telemetry", body + std::string(1 << 20, ' ') + "}").status, 413);
}

TEST_F(LocalApiTest, AnEventReachesTheAgent) {
  EXPECT_EQ(Post("/events", R"({"name":"door_opened","detail":"left","entity_id":9})").status, 204);
  ASSERT_EQ(inputs().size(), 1);
  const auto told = std::get<EventTold>(inputs()[0]);
  EXPECT_EQ(told.event.kind(), v1::EVENT_KIND_REPORTED);
  EXPECT_EQ(told.event.name(), "door_opened");
  EXPECT_EQ(told.event.detail(), "left");
  EXPECT_EQ(told.event.entity_id(), 9);
  EXPECT_EQ(Post("/events", R"({"detail":"of what?"})").status, 400);
  EXPECT_EQ(Post("/events", R"({"name":")" + std::string(65, 'x') + R"("})").status, 400);
  EXPECT_EQ(Post("/events", R"({"name":"x","detail":")" + std::string(201, 'x') + R"("})").status, 400);
}

TEST_F(LocalApiTest, WhoeverTellsTooMuchIsToldSo) {
  {
    MutexLock lock(mu_);
    full_ = true;
  }
  EXPECT_EQ(Post("/telemetry", R"({"samples":[{"signal":"a/b"}]})").status, 429);
  EXPECT_EQ(Post("/events", R"({"name":"x"})").status, 429);
}

}  // namespace
}  // namespace fleet::device
