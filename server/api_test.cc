#include "server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "server/testing/api_fixture.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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
  EXPECT_EQ(GetOk<v1::DeviceList>("/api/v1/devices").devices_size(), 5);
  EXPECT_EQ(GetOk<v1::DeviceList>("/api/v1/devices?cursor=4294967295").devices_size(), 0);
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

TEST_F(ApiTest, HistoryShowsWhatWasStored) {
  BringOnline("a");
  OnLoop([this] { fleet_->state.Flush(fleet_->changes); });
  const auto history = GetOk<v1::History>("/api/v1/devices/a/entities/2/history?since_ms=0");
  ASSERT_EQ(history.samples_size(), 1);
  EXPECT_EQ(history.samples(0).x_mm(), 1);
  EXPECT_EQ(history.samples(0).received_unix_ms(), 1'760'000'000'000);
  EXPECT_EQ(GetOk<v1::History>("/api/v1/devices/a/entities/2/history?since_ms=1760000000001").samples_size(), 0);
  ExpectError(Get("/api/v1/devices/b/entities/2/history"), 404, "NOT_FOUND", "no device b");
  ExpectError(Get("/api/v1/devices/a/entities/2/history?cursor=1.1.-1"), 400, "INVALID_ARGUMENT", "cursor");
}

TEST_F(ApiTest, LivenessShowsEachChangeWithItsReason) {
  BringOnline("a");
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  const auto history = GetOk<v1::LivenessHistory>("/api/v1/devices/a/liveness");
  ASSERT_EQ(history.changes_size(), 2);
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
