// The verbs, in process, against a real HTTP server that answers what a test puts in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/http_server.h"
#include "common/mutex.h"
#include "common/testing/fake_clock.h"
#include "google/protobuf/util/json_util.h"
#include "tools/fleetctl/session.h"

namespace fleet {
namespace {

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

// Stands for a server. Each path has a handler, or 404.
class FakeServer {
 public:
  FakeServer() : http_(*HttpServer::Bind({.listen = "127.0.0.1:0"})) {
    const auto answer = [this](const HttpRequest& request) { return Answer(request); };
    http_->Stream("/api/v1/stream", [this](const HttpRequest&) { return NextStream(); });
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

  Mutex mu_;
  std::map<std::string, HttpServer::Handler> handlers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<v1::StreamEvent>> streams_ ABSL_GUARDED_BY(mu_);
  size_t opened_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> at_end_ ABSL_GUARDED_BY(mu_);
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
                    .screen = {.out = out_, .err = err_},
                    .redraw_period = absl::Milliseconds(1)};
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
};

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
  EXPECT_THAT(out(), HasSubstr("     2  -1.250 m  0.000 m  90.0 deg  0.500 m/s  0.0s  -1250,0\n"));
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

TEST_F(FleetctlTest, SegmentPostsTheRequestAndSaysHowToFollowIt) {
  v1::SegmentRequest received;
  server_.On("/api/v1/devices/pi-1/segments", [&](const HttpRequest& request) {
    EXPECT_TRUE(FromJson(request.body, received).ok());
    HttpResponse response = JsonResponse(Command(1));
    response.status = 201;
    return response;
  });
  ASSERT_EQ(Run("segment pi-1 2 --from -100,20 --to 900,20 --v0 500 --v1 300"), kDone) << err();
  EXPECT_EQ(received.ShortDebugString(),
            "entity_id: 2 from_x_mm: -100 from_y_mm: 20 to_x_mm: 900 to_y_mm: 20 v0_mm_s: 500 v1_mm_s: 300 "
            "type: \"line\" ttl_ms: 5000");
  EXPECT_EQ(out(),
            "command 17 to pi-1/2: line (-100,20) to (900,20) at 500 to 300 mm/s, time to live 5s\n"
            "      0.0 ms  queued\n"
            "what becomes of it: fleetctl command 17 --wait\n");
}

TEST_F(FleetctlTest, WaitShowsEachStepOnceAndEndsWithDone) {
  std::vector<std::string> asked;
  server_.On("/api/v1/devices/pi-1/segments", Command(1));
  server_.On("/api/v1/commands/17", [&](const HttpRequest& request) {
    asked.push_back(request.query.at("after_steps"));
    return JsonResponse(Command(std::array<int, 4>{1, 3, 5, 6}.at(asked.size() - 1)));
  });
  ASSERT_EQ(Run("segment pi-1 2 --from 0,0 --to 1,1 --v0 1 --v1 1 --wait"), kDone) << err();
  EXPECT_THAT(asked, ElementsAre("1", "1", "3", "5"));
  EXPECT_THAT(out(), HasSubstr("time to live 5s\n"
                               "      0.0 ms  queued\n"
                               "      1.5 ms  sent\n"
                               "      3.0 ms  received\n"
                               "      4.5 ms  accepted\n"
                               "      6.0 ms  running\n"
                               "      7.5 ms  done\n"));
}

TEST_F(FleetctlTest, WaitForAnythingButDoneIsExitCode1) {
  for (const char* end : {"rejected", "failed", "expired", "superseded", "cancelled", "unknown"}) {
    server_.On("/api/v1/commands/17", Command(6, end));
    EXPECT_EQ(Run("command 17 --wait"), kFailed) << end;
  }
}

TEST_F(FleetctlTest, WaitAsJsonIsTheCommandAtItsEnd) {
  int requests = 0;
  server_.On("/api/v1/commands/17", [&](const HttpRequest&) { return JsonResponse(Command(++requests == 1 ? 2 : 6)); });
  ASSERT_EQ(Run("command 17 --wait --output json"), kDone);
  EXPECT_EQ(out(), ToJson(Command(6)));
}

TEST_F(FleetctlTest, AnInterruptedWaitSaysThatTheCommandGoesOn) {
  server_.On("/api/v1/commands/17", [&](const HttpRequest& request) {
    if (request.query.contains("after_steps")) interrupt_.Trigger();
    return JsonResponse(Command(2));
  });
  EXPECT_EQ(Run("command 17 --wait"), kFailed);
  EXPECT_EQ(err(), "fleetctl: stopped waiting; command 17 goes on without us: fleetctl command 17\n");
}

TEST_F(FleetctlTest, CommandsAsksForNoMoreThanItsLimitAndForOneDevice) {
  std::vector<std::string> limits;
  server_.On("/api/v1/commands", [&](const HttpRequest& request) {
    EXPECT_EQ(request.query.at("device"), "pi-1");
    limits.push_back(request.query.at("limit"));
    v1::CommandList page;
    for (int i = 0; i < 2; ++i) *page.add_commands() = Command(6);
    page.set_next_cursor(absl::StrCat("page ", limits.size()));
    return JsonResponse(page);
  });
  ASSERT_EQ(Run("commands --device pi-1 --limit 4"), kDone) << err();
  EXPECT_THAT(limits, ElementsAre("4", "2"));
  EXPECT_THAT(out(), StartsWith("ID  ISSUED    TARGET  STATE  REASON  COMMAND\n"
                                "17  08:53:20  pi-1/2  done           line (-100,20) to"));
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
  for (const Verb& verb : {Verb(StatusVerb{}), Verb(StatusVerb{.watch = true}), Verb(WatchVerb{})}) {
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
