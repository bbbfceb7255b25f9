#include "server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/http_probe.h"
#include "common/testing/shared_fake_clock.h"
#include "common/testing/temp_dir.h"
#include "server/metrics_page.h"
#include "server/store.h"
#include "server/testing/sample_rows.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kLine[] = R"({"entity_id":1,"from_x_mm":-100,"to_x_mm":100,"v0_mm_s":50,"v1_mm_s":50,)"
                         R"("type":"line","ttl_ms":5000})";

// The API with its real loop, store and HTTP server; the clock stands still unless a test moves it. What is taken is
// stored and sent within the same turn.
class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    auto store = Store::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    reader_ = *StoreReader::Open(path_);
    fleet_ = std::make_unique<TestFleet>(clock_, *store_->Load());
    http_ = *HttpServer::Bind({.listen = "127.0.0.1:0", .threads = 8, .max_streams = 4});
    AddRoutes(*http_, {.loop = loop_,
                       .clock = clock_,
                       .state = fleet_->state,
                       .changes = fleet_->changes,
                       .reader = *reader_,
                       .watchers = watchers_,
                       .step_bell = step_bell_,
                       .health = [this] { return health_; },
                       .metrics = [this] { return MetricsText({.state = fleet_->state, .ingest = ingest_}); },
                       .max_long_polls = 1});
    health_.set_ok(true);
    health_.set_broker("connected");
    health_.set_store("works");
    thread_ = std::thread([this] { loop_.Run([this](Now now) { return Turn(now); }); });
    http_->Start();
  }
  ~ApiTest() override {
    StopLoop();
    watchers_.Close();
    step_bell_.Ring();
    http_->Stop();
  }

  void StopLoop() {
    loop_.Stop();
    if (thread_.joinable()) thread_.join();
  }
  MonoTime Turn(Now now) {
    fleet_->Turn();
    for (CommandId id : std::exchange(fleet_->changes.commands_due, {})) {
      fleet_->state.Sent(id, true, now, fleet_->changes);
    }
    const RowBatch rows = fleet_->TakeRows();
    if (rows.empty()) return fleet_->state.NextDue();
    EXPECT_TRUE(store_->Write({rows}).ok());
    watchers_.Publish(rows, fleet_->state, now);
    fleet_->state.Committed(rows.number, fleet_->changes);
    if (!rows.steps.empty()) step_bell_.Ring();
    return now.mono;  // again at once: what was committed is due
  }
  // Returns when it has run and its turn is over.
  void OnLoop(const std::function<void()>& work) {
    std::promise<void> done;
    ASSERT_TRUE(loop_.Post([&] {
      work();
      loop_.Post([&done] { done.set_value(); });  // runs before the next turn
    }));
    done.get_future().wait();
  }
  void BringOnline(const std::string& id) {
    OnLoop([this, id] {
      fleet_->Beat(id, 1);
      fleet_->Report(id, 1, {1, 2});
    });
  }

  HttpProbeResult Get(const std::string& path) { return Fetch(http_->port(), "GET", path); }
  HttpProbeResult Post(const std::string& path, const std::string& body) {
    return Fetch(http_->port(), "POST", path, body);
  }
  // The message of a 200 answer.
  template <typename MessageT>
  MessageT Read(const HttpProbeResult& result, int status = 200) {
    MessageT message;
    EXPECT_EQ(result.status, status) << result.body;
    EXPECT_TRUE(FromJson(result.body, message).ok()) << result.body;
    return message;
  }
  template <typename MessageT>
  MessageT GetOk(const std::string& path) {
    return Read<MessageT>(Get(path));
  }
  void ExpectError(const HttpProbeResult& result, int status, const std::string& code, const std::string& message) {
    const auto error = Read<v1::ErrorBody>(result, status);
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.message(), HasSubstr(message));
  }
  // Returns when it has been sent: two steps.
  CommandId SubmitLine(const std::string& device) {
    const auto view = Read<v1::CommandView>(Post(absl::StrCat("/api/v1/devices/", device, "/segments"), kLine), 201);
    uint64_t id = 0;
    EXPECT_TRUE(absl::SimpleAtoi(view.command_id(), &id));
    OnLoop([] {});
    return CommandId{id};
  }
  std::string CommandPath(CommandId id) { return absl::StrCat("/api/v1/commands/", Number(id)); }

  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
  SharedFakeClock clock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<TestFleet> fleet_;  // loop thread
  Ingest ingest_;                     // loop thread
  v1::Health health_;                 // loop thread
  Watchers watchers_;
  StepBell step_bell_;
  EventLoop loop_{clock_};
  std::unique_ptr<HttpServer> http_;
  std::thread thread_;
};

TEST_F(ApiTest, StatusSumsUpTheFleet) {
  BringOnline("a");
  OnLoop([this] { fleet_->Report("b", 1, {1}); });
  clock_.Advance(absl::Milliseconds(500));
  const auto summary = GetOk<v1::FleetSummary>("/api/v1/status");
  EXPECT_EQ(summary.devices(), 2u);
  EXPECT_EQ(summary.online(), 1u);
  EXPECT_EQ(summary.unknown(), 1u);
  EXPECT_EQ(summary.entities(), 3u);
  EXPECT_TRUE(summary.broker_connected());
  EXPECT_TRUE(summary.store_works());
  EXPECT_EQ(summary.server_version(), FLEET_VERSION);
  EXPECT_EQ(summary.uptime_ms(), 500);
}

TEST_F(ApiTest, DevicesComeInPagesEachOnce) {
  for (const char* id : {"a", "b", "c", "d", "e"}) BringOnline(id);
  std::vector<std::string> ids;
  std::string cursor = "0";
  while (!cursor.empty()) {
    const auto page = GetOk<v1::DeviceList>(absl::StrCat("/api/v1/devices?limit=2&cursor=", cursor));
    for (const v1::DeviceView& device : page.devices()) ids.push_back(device.id());
    cursor = page.next_cursor();
  }
  EXPECT_THAT(ids, ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_THAT(GetOk<v1::DeviceList>("/api/v1/devices").devices(), SizeIs(5));
  EXPECT_THAT(GetOk<v1::DeviceList>("/api/v1/devices?cursor=4294967295").devices(), SizeIs(0));
}

TEST_F(ApiTest, OneDeviceOrNone) {
  BringOnline("rpi-1");
  EXPECT_EQ(GetOk<v1::DeviceView>("/api/v1/devices/rpi-1").state(), "online");
  ExpectError(Get("/api/v1/devices/rpi-2"), 404, "NOT_FOUND", "no device rpi-2");
  ExpectError(Get("/api/v1/devices/%ff%fe"), 404, "NOT_FOUND", "no device ??");  // JSON is UTF-8
}

TEST_F(ApiTest, LimitsAndNumbersOutOfRangeAreRefused) {
  BringOnline("a");
  const std::string history = "/api/v1/devices/a/entities/1/history";
  for (const std::string& list : {std::string("/api/v1/devices"), std::string("/api/v1/commands"), history,
                                  std::string("/api/v1/devices/a/liveness")}) {
    for (const char* limit : {"0", "-1", "1001", "x", "99999999999999999999", ""}) {
      ExpectError(Get(absl::StrCat(list, "?limit=", limit)), 400, "INVALID_ARGUMENT", "limit");
    }
    EXPECT_EQ(Get(list + "?limit=1").status, 200);
    EXPECT_EQ(Get(list + "?limit=1000").status, 200);
    ExpectError(Get(list + "?cursor=x"), 400, "INVALID_ARGUMENT", "cursor");
  }
  ExpectError(Get(history + "?since_ms=yesterday"), 400, "INVALID_ARGUMENT", "since_ms");
  ExpectError(Get("/api/v1/devices/a/entities/x/history"), 400, "INVALID_ARGUMENT", "x is no entity id");
  ExpectError(Get("/api/v1/commands/x"), 400, "INVALID_ARGUMENT", "x is no command id");
  ExpectError(Get("/api/v1/devices?cursor=-1"), 400, "INVALID_ARGUMENT", "cursor");
}

TEST_F(ApiTest, AGoodSegmentIsTakenStoredAndSent) {
  BringOnline("a");
  const auto view = Read<v1::CommandView>(Post("/api/v1/devices/a/segments", kLine), 201);
  EXPECT_EQ(view.device_id(), "a");
  EXPECT_EQ(view.state(), "queued");
  EXPECT_EQ(view.summary(), "line (-100,0) to (100,0) at 50 to 50 mm/s");
  OnLoop([] {});
  const auto sent = GetOk<v1::CommandView>("/api/v1/commands/" + view.command_id());
  EXPECT_EQ(sent.state(), "sent");
  EXPECT_THAT(sent.steps(), SizeIs(2));
  const auto list = GetOk<v1::CommandList>("/api/v1/commands?device=a");
  ASSERT_THAT(list.commands(), SizeIs(1));
  EXPECT_EQ(list.commands(0).command_id(), view.command_id());
}

TEST_F(ApiTest, AWrongSegmentIsRefusedAndNothingIsSent) {
  BringOnline("a");
  const std::string path = "/api/v1/devices/a/segments";
  const std::string no_type = R"({"entity_id":1,"ttl_ms":1000,"v0_mm_s":1,"type":"spiral"})";
  ExpectError(Post(path, "{"), 400, "INVALID_ARGUMENT", "not JSON");
  ExpectError(Post(path, R"({"entity":1})"), 400, "INVALID_ARGUMENT", "entity");
  ExpectError(Post(path, no_type), 400, "INVALID_ARGUMENT", "\"spiral\" is not line");
  ExpectError(Post(path, R"({"type":"hold"})"), 400, "INVALID_ARGUMENT", "ttl");
  ExpectError(Post(path, R"({"type":"line","ttl_ms":1000})"), 400, "INVALID_ARGUMENT", "speeds 0");
  ExpectError(Post("/api/v1/devices/b/segments", kLine), 404, "NOT_FOUND", "no device b");
  EXPECT_THAT(GetOk<v1::CommandList>("/api/v1/commands").commands(), SizeIs(0));
}

TEST_F(ApiTest, ADeviceThatIsOfflineGetsNoSegment) {
  BringOnline("a");
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  ExpectError(Post("/api/v1/devices/a/segments", kLine), 409, "FAILED_PRECONDITION", "offline (clean)");
}

TEST_F(ApiTest, WhatCannotBeStoredIsNotSent) {
  BringOnline("a");
  OnLoop([this] { health_.set_store("disk full"); });
  ExpectError(Post("/api/v1/devices/a/segments", kLine), 503, "UNAVAILABLE", "disk full");
}

TEST_F(ApiTest, ALongPollReturnsAtOnceWhenThereAreMoreStepsAlready) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  EXPECT_GE(GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=0&timeout_ms=20000").steps_size(), 1);
}

TEST_F(ApiTest, ALongPollReturnsWhenAStepHappens) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  auto poll = std::async(std::launch::async, [&] {
    return GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=2&timeout_ms=20000");  // the clock stands still
  });
  OnLoop([this, id] { fleet_->Ack("a", id, v1::COMMAND_STATE_RECEIVED); });
  EXPECT_EQ(poll.get().state(), "received");
}

TEST_F(ApiTest, ALongPollReturnsWhatThereIsAtItsTimeout) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  EXPECT_EQ(GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=99&timeout_ms=0").steps_size(), 2);
  auto poll = std::async(std::launch::async,
                         [&] { return GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=99&timeout_ms=500"); });
  while (poll.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(absl::Milliseconds(100));
    step_bell_.Ring();
  }
  EXPECT_EQ(poll.get().steps_size(), 2);
}

TEST_F(ApiTest, MoreLongPollsThanThereArePlacesForAreRefused) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  const auto poll = [&] { return Get(CommandPath(id) + "?after_steps=2&timeout_ms=20000"); };
  auto one = std::async(std::launch::async, poll);
  auto two = std::async(std::launch::async, poll);
  // One of them has the only place and waits; the other does not wait for it.
  while (one.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready &&
         two.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
  }
  OnLoop([this, id] { fleet_->Ack("a", id, v1::COMMAND_STATE_RECEIVED); });
  HttpProbeResult served = one.get();
  HttpProbeResult refused = two.get();
  if (served.status != 200) std::swap(served, refused);
  EXPECT_EQ(Read<v1::CommandView>(served).state(), "received");
  ExpectError(refused, 503, "UNAVAILABLE", "too many");
}

TEST_F(ApiTest, CommandsComeNewestFirstInPages) {
  BringOnline("a");
  std::vector<std::string> wanted;
  for (int i = 0; i < 5; ++i) wanted.insert(wanted.begin(), absl::StrCat(Number(SubmitLine("a"))));
  std::vector<std::string> ids;
  std::string query = "?limit=2";
  while (true) {
    const auto page = GetOk<v1::CommandList>("/api/v1/commands" + query);
    for (const v1::CommandView& command : page.commands()) ids.push_back(command.command_id());
    if (page.next_cursor().empty()) break;
    query = "?limit=2&cursor=" + page.next_cursor();
  }
  EXPECT_EQ(ids, wanted);
  ExpectError(Get("/api/v1/commands?device=nobody"), 404, "NOT_FOUND", "nobody");
}

TEST_F(ApiTest, ACommandOfAnEarlierRunIsAnsweredFromTheStore) {
  OnLoop([this] {
    EXPECT_TRUE(store_
                    ->Write({{.devices = {SampleDevice(1, "old")},
                              .commands = {SampleCommand(5, 1)},
                              .steps = {SampleStep(5, 0, v1::COMMAND_STATE_DONE)}}})
                    .ok());
  });
  const auto command = GetOk<v1::CommandView>("/api/v1/commands/5");
  EXPECT_EQ(command.state(), "done");
  EXPECT_EQ(command.device_id(), "old");
  ExpectError(Get("/api/v1/commands/6"), 404, "NOT_FOUND", "no command 6");
}

TEST_F(ApiTest, HistoryShowsWhatWasStored) {
  BringOnline("a");
  OnLoop([this] { fleet_->state.Flush(fleet_->changes); });
  const auto history = GetOk<v1::History>("/api/v1/devices/a/entities/2/history?since_ms=0");
  ASSERT_THAT(history.samples(), SizeIs(1));
  EXPECT_EQ(history.samples(0).x_mm(), 1);
  EXPECT_EQ(history.samples(0).received_unix_ms(), 1'760'000'000'000);
  EXPECT_THAT(GetOk<v1::History>("/api/v1/devices/a/entities/2/history?since_ms=1760000000001").samples(), SizeIs(0));
  ExpectError(Get("/api/v1/devices/b/entities/2/history"), 404, "NOT_FOUND", "no device b");
  ExpectError(Get("/api/v1/devices/a/entities/2/history?cursor=1.1.-1"), 400, "INVALID_ARGUMENT", "cursor");
}

TEST_F(ApiTest, LivenessShowsEachChangeWithItsReason) {
  BringOnline("a");
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  const auto history = GetOk<v1::LivenessHistory>("/api/v1/devices/a/liveness");
  ASSERT_THAT(history.changes(), SizeIs(2));
  EXPECT_EQ(history.changes(0).state(), "offline");
  EXPECT_EQ(history.changes(0).reason(), "clean");
  EXPECT_EQ(history.changes(1).state(), "online");
}

TEST_F(ApiTest, TheStreamTellsALivenessChange) {
  HttpConnection stream(http_->port());
  stream.Send(HttpRequestText("GET", "/api/v1/stream"));
  ASSERT_EQ(stream.ReadHead().status, 200);
  BringOnline("a");
  std::optional<std::string> event;
  do {
    event = stream.ReadEvent();
    ASSERT_TRUE(event.has_value());
  } while (!absl::StartsWith(*event, "event: device\n"));
  ASSERT_THAT(*event, StartsWith("event: device\ndata: {"));
  v1::StreamEvent change;
  ASSERT_TRUE(FromJson(event->substr(event->find('{')), change).ok()) << *event;
  EXPECT_EQ(change.device().device_id(), "a");
  EXPECT_EQ(change.device().state(), "online");
}

TEST_F(ApiTest, HealthzIs200ExactlyWhenAllIsWell) {
  EXPECT_TRUE(GetOk<v1::Health>("/healthz").ok());
  OnLoop([this] {
    health_.set_ok(false);
    health_.set_broker("not connected");
  });
  const auto health = Read<v1::Health>(Get("/healthz"), 503);
  EXPECT_EQ(health.broker(), "not connected");
  EXPECT_EQ(health.store(), "works");
}

TEST_F(ApiTest, MetricsAreServedAsPrometheusText) {
  const HttpProbeResult result = Get("/metrics");
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.headers.at("content-type"), "text/plain; version=0.0.4");
  EXPECT_THAT(result.body, HasSubstr("# TYPE fleet_devices gauge\n"));
}

// A handler that waited for a loop which has ended would hold up the stop of the program.
TEST_F(ApiTest, AfterTheEndOfTheLoopQuestionsAreRefusedAtOnce) {
  StopLoop();
  const SystemClock clock;
  const MonoTime start = clock.Read().mono;
  ExpectError(Get("/api/v1/status"), 503, "UNAVAILABLE", "try again");
  EXPECT_LT(clock.Read().mono - start, absl::Seconds(1));
}

}  // namespace
}  // namespace fleet::server
