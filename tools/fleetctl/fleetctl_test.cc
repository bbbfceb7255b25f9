// The verbs that show, and what goes wrong with any verb.
#include "tools/fleetctl/fleetctl_fixture.h"

#include "google/protobuf/util/json_util.h"

namespace fleet {
namespace {

TEST_F(FleetctlTest, StatusShowsASummaryAndOnlineDevicesFirst) {
  ServeThreeDevices();
  ASSERT_EQ(Run("status"), kDone) << err();
  EXPECT_EQ(out(),
            "3 devices: 1 online, 1 stale, 1 offline, 0 unknown; 3 entities; broker connected; store works\n"
            "\n"
            "DEVICE  STATE    LAST-SEEN    SKEW  ENTITIES       LOST  WHY/SINCE\n"
            "pi-3    online    0.3s ago  -12 ms  2         3 of 1200  since 08:50:20 (3m ago)\n"
            "pi-2    stale       3m ago  -12 ms  2         3 of 1200  since 08:50:20 (3m ago)\n"
            "pi-1    offline     3m ago  -12 ms  2         3 of 1200  offline since 08:50:20 (3m ago), lost: the "
            "broker's will\n");
}

TEST_F(FleetctlTest, StatusSaysWhatIsBroken) {
  server_.On("/api/v1/status", v1::FleetSummary());
  server_.On("/api/v1/devices", v1::DeviceList());
  ASSERT_EQ(Run("status"), kDone);
  EXPECT_THAT(out(), HasSubstr("0 devices: 0 online, 0 stale, 0 offline, 0 unknown; 0 entities; broker NOT connected; "
                               "store FAILS\n"));
  EXPECT_THAT(out(), HasSubstr("No device has been heard yet"));
}

TEST_F(FleetctlTest, StatusWatchRedrawsThroughALostServerUntilInterrupted) {
  int requests = 0;
  server_.On("/api/v1/devices", v1::DeviceList());
  server_.On("/api/v1/status", [&](const HttpRequest&) {
    ++requests;
    if (requests == 2) return ErrorResponse(absl::UnavailableError("about to stop"));
    if (requests == 4) interrupt_.Trigger();
    return JsonResponse(v1::FleetSummary());
  });
  EXPECT_EQ(Run("status --watch"), kDone);
  EXPECT_EQ(requests, 4);
  EXPECT_THAT(err(), IsEmpty());
  const std::vector<std::string> parts = absl::StrSplit(out(), "0 devices:");
  ASSERT_EQ(parts.size(), 3u) << out();
  EXPECT_THAT(parts[1], HasSubstr("about to stop"));
}

TEST_F(FleetctlTest, DevicesAsJsonAreOneListOfAllPages) {
  ServeThreeDevices();
  ASSERT_EQ(Run("devices --output json"), kDone);
  v1::DeviceList list;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(out(), &list).ok()) << out();
  ASSERT_EQ(list.devices_size(), 3);
  EXPECT_EQ(list.devices(2).ShortDebugString(), Device("pi-3", "online").ShortDebugString());
  EXPECT_THAT(out(),
              StartsWith("{\"devices\":[{\"id\":\"pi-1\",\"state\":\"offline\",\"reason\":\"lost\",\"epoch\":4,"));
  EXPECT_THAT(out(), HasSubstr("\"last_heartbeat_ms_ago\":180000,\"clock_skew_ms\":-12"));
  EXPECT_THAT(out(), Not(HasSubstr("cursor")));
}

TEST_F(FleetctlTest, NoDevicesAreAnEmptyJsonList) {
  server_.On("/api/v1/devices", v1::DeviceList());
  ASSERT_EQ(Run("--output json devices"), kDone);
  EXPECT_EQ(out(), "{\"devices\":[]}\n");
}

TEST_F(FleetctlTest, AListThatDoesNotGoOnIsAnErrorAndNotALoop) {
  v1::DeviceList page;
  page.set_next_cursor("same");
  server_.On("/api/v1/devices", page);
  EXPECT_EQ(Run("devices"), kFailed);
  EXPECT_THAT(err(), HasSubstr("does not go on"));
}

TEST_F(FleetctlTest, DeviceShowsPosesForPeopleAndForTheNextCommand) {
  server_.On("/api/v1/devices/pi-1", Device("pi-1", "offline", "silent"));
  ASSERT_EQ(Run("device pi-1"), kDone);
  EXPECT_THAT(out(), StartsWith("pi-1: offline since 08:50:20 (3m ago), silent: no heartbeat, and no will yet\n"));
  EXPECT_THAT(out(), HasSubstr("3 of 1200 messages missing"));
  EXPECT_THAT(out(), HasSubstr("     2         -1.250 m  0.000 m  90.0 deg  0.500 m/s  0.0s  -1250,0\n"));
}

TEST_F(FleetctlTest, WhatTheServerRefusesIsOneLineAndExitCode1) {
  server_.On("/api/v1/devices/pi-9",
             [](const HttpRequest&) { return ErrorResponse(absl::NotFoundError("no device pi-9")); });
  EXPECT_EQ(Run("device pi-9"), kFailed);
  EXPECT_EQ(err(), "fleetctl: no device pi-9; fleetctl devices lists what there is\n");
  EXPECT_EQ(out(), "");
}

TEST_F(FleetctlTest, ErrorsAreJsonWhenTheOutputIs) {
  EXPECT_EQ(Run("device pi-9 --output json"), kFailed);
  EXPECT_EQ(err(),
            "{\"code\":\"NOT_FOUND\",\"message\":\"nothing at /api/v1/devices/pi-9; fleetctl devices lists what there "
            "is\"}\n");
}

TEST_F(FleetctlTest, AnAnswerOfSomethingElseIsSaidSo) {
  server_.On("/api/v1/devices/pi-1", [](const HttpRequest&) {
    return HttpResponse{.status = 404, .body = "<html>not here</html>", .content_type = "text/html"};
  });
  EXPECT_EQ(Run("device pi-1"), kFailed);
  EXPECT_THAT(err(), HasSubstr("is not a fleet-server (HTTP 404)"));
}

TEST_F(FleetctlTest, FieldsOfANewerServerAreIgnored) {
  server_.On("/api/v1/devices/pi-1", [](const HttpRequest&) {
    return HttpResponse{.body = "{\"id\":\"pi-1\",\"state\":\"online\",\"mood\":{\"good\":true}}"};
  });
  EXPECT_EQ(Run("device pi-1"), kDone) << err();
}

TEST_F(FleetctlTest, HistoryReadsAllPagesFromTheTimeAskedFor) {
  server_.On("/api/v1/devices/pi-1/entities/2/history", [&](const HttpRequest& request) {
    EXPECT_EQ(request.query.at("since_ms"), absl::StrCat(clock_.Read().unix_ms() - 60'000));
    v1::History page;
    v1::HistorySample& sample = *page.add_samples();
    sample.set_received_unix_ms(NowMs() - 1000);
    sample.set_x_mm(request.query.contains("cursor") ? 2000 : 1000);
    if (!request.query.contains("cursor")) page.set_next_cursor("more");
    return JsonResponse(page);
  });
  ASSERT_EQ(Run("history pi-1 2 --since 1m"), kDone) << err();
  EXPECT_THAT(out(), HasSubstr("08:53:19.000  1.000 m  0.000 m  0.0 deg  0.000 m/s  1000,0\n"
                               "08:53:19.000  2.000 m  0.000 m  0.0 deg  0.000 m/s  2000,0\n"));
}

TEST_F(FleetctlTest, WatchPrintsALinePerEventAndComesBackAfterALoss) {
  server_.On("/api/v1/status", v1::FleetSummary());
  v1::StreamEvent device, command, state, gap;
  device.mutable_device()->set_device_id("pi-1");
  device.mutable_device()->set_state("offline");
  device.mutable_device()->set_reason("lost");
  device.mutable_device()->set_at_unix_ms(NowMs());
  *command.mutable_command() = Command(6);
  *state.mutable_state() = Device("pi-1", "online");
  gap.mutable_gap()->set_dropped(12);
  server_.OnStream({{device, command}, {state, gap}}, [this] { interrupt_.Trigger(); });
  EXPECT_EQ(Run("watch"), kDone);
  EXPECT_EQ(out(),
            "08:53:20.000  pi-1           offline  lost: the broker's will\n"
            "08:53:20.005  pi-1/2         command 17 done  7.5 ms\n"
            "08:53:20.000  pi-1           at  2: -1.25,0.00 m 90.0 deg\n"
            "08:53:20.000  -              12 events  missed: this reader was too slow\n");
  EXPECT_THAT(err(), HasSubstr("ended the stream; trying again until Ctrl-C\n"));
  EXPECT_THAT(err(), HasSubstr("the server is back"));
}

TEST_F(FleetctlTest, WatchOfOneDeviceLeavesOutTheOthers) {
  server_.On("/api/v1/devices/pi-2", Device("pi-2", "online"));
  v1::StreamEvent one, two;
  one.mutable_device()->set_device_id("pi-1");
  two.mutable_device()->set_device_id("pi-2");
  server_.OnStream({{one, two}}, [this] { interrupt_.Trigger(); });
  EXPECT_EQ(Run("watch pi-2 --output json"), kDone);
  EXPECT_EQ(out(), ToJson(two));
}

TEST_F(FleetctlTest, WatchOfAnUnknownDeviceFailsAtOnce) {
  EXPECT_EQ(Run("watch pi-9"), kFailed);
}

TEST_F(FleetctlTest, DeviceIdsAreListedForCompletion) {
  ServeThreeDevices();
  ASSERT_EQ(Run("__devices"), kDone);
  EXPECT_EQ(out(), "pi-1\npi-2\npi-3\n");
}

TEST_F(FleetctlTest, NothingOfADeviceDrivesTheTerminal) {
  v1::CommandView command = Command(6, "failed");
  command.mutable_steps(5)->set_detail("\x1b[2Jwiped");
  server_.On("/api/v1/commands/17", command);
  EXPECT_EQ(Run("command 17"), kDone);
  EXPECT_THAT(out(), HasSubstr("failed  ?[2Jwiped\n"));
}

TEST(FleetctlWithoutServer, SaysWhatToDoAndExits3) {
  // A port that was just free; with no server bound to it any more.
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
  for (const Verb& verb :
       {Verb(StatusVerb{}), Verb(StatusVerb{.watch = true}), Verb(WatchVerb{}), Verb(ModbusVerb{.device = "van-7"})}) {
    err.str("");
    EXPECT_EQ(RunVerb(session, verb), kNoServer);
    EXPECT_EQ(err.str(), absl::StrCat("fleetctl: no server at ", url,
                                      " (connection refused); is fleet-server running? try tools/up.sh or --server "
                                      "URL\n"));
  }
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace fleet
