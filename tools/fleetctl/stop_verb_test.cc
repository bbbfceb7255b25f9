#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

class StopVerbTest : public FleetctlTest {
 protected:
  // POST /api/v1/stop answers with stops "101" of pi-1 and "102" of pi-2.
  void ServeTwoStops() {
    v1::StopAllResult result;
    for (int i = 1; i <= 2; ++i) {
      v1::StopResult& stop = *result.add_devices();
      stop.set_device_id(absl::StrCat("pi-", i));
      stop.set_command_id(absl::StrCat(100 + i));
    }
    server_.On("/api/v1/stop", result);
    server_.On("/api/v1/status", v1::FleetSummary());
  }
};

TEST_F(StopVerbTest, StopWaitsUntilTheDeviceConfirms) {
  v1::CancelResult result;
  *result.add_commands() = Command(1);
  *result.add_commands() = Cancel("18", "pi-1", 2);
  server_.On("/api/v1/devices/pi-1/stop", result);
  int asked = 0;
  server_.On("/api/v1/commands/18",
             [&](const HttpRequest&) { return JsonResponse(Cancel("18", "pi-1", ++asked < 3 ? 3 : 6)); });
  ASSERT_EQ(Run("stop pi-1"), kDone) << err();
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(out(),
            "      7.5 ms  stopped  pi-1\n"
            "1 of 1 device stopped\n");
}

TEST_F(StopVerbTest, StopOfAllShoutsForEachThatDidNotConfirm) {
  ServeTwoStops();
  server_.On("/api/v1/commands/101", Cancel("101", "pi-1", 6));
  server_.On("/api/v1/commands/102", [&](const HttpRequest&) {
    clock_.Advance(absl::Seconds(1));
    return JsonResponse(Cancel("102", "pi-2", 2));
  });
  EXPECT_EQ(Run("stop --all"), kFailed);
  EXPECT_EQ(out(),
            "      7.5 ms  stopped  pi-1\n"
            "NOT STOPPED: pi-2: no word of it in 3s: fleetctl command 102 --wait\n"
            "1 of 2 devices stopped\n");
}

TEST_F(StopVerbTest, AStopThatTheDeviceRefusesIsNotWaitedFor) {
  ServeTwoStops();
  v1::CommandView refused = Cancel("102", "pi-2", 6, "rejected");
  refused.mutable_steps(5)->set_reason("bad_signature");
  server_.On("/api/v1/commands/101", Cancel("101", "pi-1", 6));
  server_.On("/api/v1/commands/102", refused);
  EXPECT_EQ(Run("stop --all"), kFailed);
  EXPECT_THAT(out(), HasSubstr("NOT STOPPED: pi-2: its stop ended as rejected bad_signature\n"));
}

TEST_F(StopVerbTest, AServerThatFailsForAMomentIsAskedAgain) {
  ServeTwoStops();
  int asked = 0;
  server_.On("/api/v1/commands/101", Cancel("101", "pi-1", 6));
  server_.On("/api/v1/commands/102", [&](const HttpRequest&) {
    if (++asked < 3) return ErrorResponse(absl::UnavailableError("overloaded"));
    return JsonResponse(Cancel("102", "pi-2", 6));
  });
  EXPECT_EQ(Run("stop --all"), kDone) << out();
}

TEST_F(StopVerbTest, WhatTheServerCouldNotSendIsShoutedToo) {
  v1::StopAllResult result;
  v1::StopResult& stop = *result.add_devices();
  stop.set_device_id("pi-1");
  stop.set_error("two devices use this id");
  server_.On("/api/v1/stop", result);
  v1::FleetSummary summary;
  summary.set_offline(3);
  server_.On("/api/v1/status", summary);
  EXPECT_EQ(Run("stop --all"), kFailed);
  EXPECT_EQ(out(),
            "NOT STOPPED: pi-1: two devices use this id\n"
            "0 of 1 device stopped; 3 devices offline and not told: fleetctl status\n");
}

TEST_F(StopVerbTest, AnOfflineDeviceIsNotStopped) {
  server_.On("/api/v1/devices/pi-1/stop",
             [](const HttpRequest&) { return ErrorResponse(absl::FailedPreconditionError("pi-1 is offline (lost)")); });
  EXPECT_EQ(Run("stop pi-1"), kFailed);
  EXPECT_THAT(out(), StartsWith("NOT STOPPED: pi-1: pi-1 is offline (lost)\n"));
}

TEST_F(StopVerbTest, AsJsonEachDeviceHasItsErrorOrNone) {
  ServeTwoStops();
  server_.On("/api/v1/commands/101", Cancel("101", "pi-1", 6));
  server_.On("/api/v1/commands/102", Cancel("102", "pi-2", 6, "expired"));
  EXPECT_EQ(Run("stop --all --output json"), kFailed);
  EXPECT_EQ(out(),
            "{\"devices\":[{\"device_id\":\"pi-1\",\"command_id\":\"101\",\"error\":\"\"},{\"device_id\":\"pi-2\","
            "\"command_id\":\"102\",\"error\":\"its stop ended as expired \"}]}\n");
}

TEST_F(StopVerbTest, ADeviceThatDoesNotExistIsAnError) {
  EXPECT_EQ(Run("stop pi-9"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl devices lists what there is"));
}

TEST(StopVerbWithoutServer, SaysThatNothingWasStopped) {
  const std::string url = [] {
    const auto http = *HttpServer::Bind({.listen = "127.0.0.1:0"});
    return absl::StrCat("http://127.0.0.1:", http->port());
  }();
  Client client(url);
  Interrupt interrupt([] {});
  FakeClock clock;
  std::ostringstream out, err;
  Session session{.client = client,
                  .interrupt = interrupt,
                  .clock = clock,
                  .zone = absl::UTCTimeZone(),
                  .screen = {.out = out, .err = err}};
  EXPECT_EQ(RunVerb(session, StopVerb{}), kNoServer);
  EXPECT_THAT(err.str(), StartsWith("fleetctl: NOTHING WAS STOPPED as far as is known: no server at"));
}

}  // namespace
}  // namespace fleet
