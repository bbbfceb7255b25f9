#include <algorithm>
#include <set>

#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

constexpr char kMotion[] = " --from 0,0 --to 1,1 --v0 1 --v1 1";

// Answers for each device with a command of its own, which is done after it was asked for twice.
class GroupVerbTest : public FleetctlTest {
 protected:
  void Serve(const std::string& device, const std::string& id, absl::string_view end = "done") {
    server_.On(absl::StrCat("/api/v1/devices/", device, "/segments"), [=, this](const HttpRequest&) {
      under_way_.insert(id);
      most_ = std::max(most_, under_way_.size());
      started_.push_back(device);
      return JsonResponse(Of(device, id, 1));
    });
    server_.On(absl::StrCat("/api/v1/commands/", id), [=, this](const HttpRequest&) {
      if (++asked_[id] < 2) return JsonResponse(Of(device, id, 5));
      under_way_.erase(id);
      return JsonResponse(Of(device, id, 6, end));
    });
  }

  void ServeFleet() {
    ServeThreeDevices();
    for (int i = 1; i <= 3; ++i) Serve(absl::StrCat("pi-", i), absl::StrCat(100 + i));
  }

  v1::CommandView Of(const std::string& device, const std::string& id, int steps,
                     absl::string_view end = "done") const {
    v1::CommandView command = Command(steps, end);
    command.set_command_id(id);
    command.set_device_id(device);
    return command;
  }

  std::map<std::string, int> asked_;
  std::set<std::string> under_way_;
  std::vector<std::string> started_;
  size_t most_ = 0;
};

TEST_F(GroupVerbTest, AllStartsTheOnlineOnesFirstAndIsDoneWhenAllAre) {
  ServeFleet();
  ASSERT_EQ(Run(absl::StrCat("segment --all 2", kMotion)), kDone) << out() << err();
  EXPECT_THAT(started_, ElementsAre("pi-3", "pi-1", "pi-2"));
  EXPECT_EQ(most_, 3u);
  EXPECT_THAT(out(), HasSubstr("pi-3        7.5 ms  done\n"));
  EXPECT_THAT(out(), HasSubstr("3 devices: 3 done; 0.0s\n"));
}

TEST_F(GroupVerbTest, NoMoreThanAtOnceAreUnderWay) {
  ServeFleet();
  ASSERT_EQ(Run(absl::StrCat("segment --all 2 --at-once 1", kMotion)), kDone) << out();
  EXPECT_EQ(started_.size(), 3u);
  EXPECT_EQ(most_, 1u);
}

TEST_F(GroupVerbTest, OnlineLeavesTheOthersOut) {
  ServeFleet();
  ASSERT_EQ(Run(absl::StrCat("segment --online 2", kMotion)), kDone);
  EXPECT_THAT(started_, ElementsAre("pi-3"));
}

TEST_F(GroupVerbTest, NamedOnesAreTakenAsNamedWithTheirRequest) {
  ServeFleet();
  v1::SegmentRequest received;
  server_.On("/api/v1/devices/pi-2/segments", [&](const HttpRequest& request) {
    EXPECT_TRUE(FromJson(request.body, received).ok());
    return JsonResponse(Of("pi-2", "102", 6));
  });
  ASSERT_EQ(Run(absl::StrCat("segment --devices pi-2,pi-1 2 --queue --mode append", kMotion)), kDone) << out();
  EXPECT_THAT(started_, ElementsAre("pi-1"));
  EXPECT_EQ(received.entity_id(), 2u);
  EXPECT_TRUE(received.queue());
  EXPECT_EQ(received.mode(), "append");
}

TEST_F(GroupVerbTest, OneThatIsNotDoneIsExitCode1AndEachHasItsLine) {
  ServeFleet();
  Serve("pi-1", "101", "rejected");
  server_.On("/api/v1/devices/pi-2/segments", [](const HttpRequest&) {
    return ErrorResponse(absl::FailedPreconditionError("pi-2 is offline (silent)"));
  });
  EXPECT_EQ(Run(absl::StrCat("segment --all 2", kMotion)), kFailed);
  EXPECT_THAT(out(), HasSubstr("pi-1        7.5 ms  rejected\n"));
  EXPECT_THAT(out(), HasSubstr("pi-2                refused     pi-2 is offline (silent)\n"));
  EXPECT_THAT(out(), HasSubstr("3 devices: 1 done, 1 refused, 1 rejected; 0.0s\n"));
}

TEST_F(GroupVerbTest, AServerThatFailsForAMomentIsAskedAgain) {
  ServeFleet();
  int asked = 0;
  server_.On("/api/v1/commands/103", [&](const HttpRequest&) {
    if (++asked < 4) return ErrorResponse(absl::UnavailableError("starting"));
    return JsonResponse(Of("pi-3", "103", 6));
  });
  ASSERT_EQ(Run(absl::StrCat("segment --online 2", kMotion)), kDone) << out();
  EXPECT_EQ(asked, 4);
}

TEST_F(GroupVerbTest, AnUnknownOneThatResolvesCountsAsWhatItWas) {
  ServeFleet();
  int asked = 0;
  server_.On("/api/v1/commands/103",
             [&](const HttpRequest&) { return JsonResponse(Of("pi-3", "103", 6, ++asked < 3 ? "unknown" : "done")); });
  ASSERT_EQ(Run(absl::StrCat("segment --online 2", kMotion)), kDone) << out();
}

TEST_F(GroupVerbTest, AnUnknownOneIsAResultWhenItsTimeIsOver) {
  ServeFleet();
  server_.On("/api/v1/commands/103", [&](const HttpRequest&) {
    clock_.Advance(absl::Seconds(4));
    return JsonResponse(Of("pi-3", "103", 6, "unknown"));
  });
  EXPECT_EQ(Run(absl::StrCat("segment --online 2 --ttl 5s", kMotion)), kFailed);
  EXPECT_THAT(out(), HasSubstr("1 device: 1 unknown; 16s\n"));
}

TEST_F(GroupVerbTest, AsJsonEachTargetIsALine) {
  ServeFleet();
  server_.On("/api/v1/devices/pi-3/segments",
             [](const HttpRequest&) { return ErrorResponse(absl::ResourceExhaustedError("too many")); });
  EXPECT_EQ(Run(absl::StrCat("segment --online 2 --output json", kMotion)), kFailed);
  v1::CommandView refused;
  ASSERT_TRUE(FromJson(out(), refused).ok()) << out();
  EXPECT_EQ(refused.ShortDebugString(), "device_id: \"pi-3\" state: \"refused\" reason: \"too many\"");
}

TEST_F(GroupVerbTest, OnATerminalProgressStandsBelowTheResults) {
  ServeFleet();
  screen_.is_terminal = true;
  screen_.size = [] { return Screen::Size{.columns = 100, .rows = 40}; };
  ASSERT_EQ(Run(absl::StrCat("segment --all 2 --at-once 2", kMotion)), kDone);
  EXPECT_THAT(out(), HasSubstr("\r0 of 3 ended, 2 under way; Ctrl-C stops waiting\x1b[K"));
  EXPECT_THAT(out(), HasSubstr("\r\x1b[Kpi-1        7.5 ms  done\n"));
}

TEST_F(GroupVerbTest, ALongReasonIsCutToTheTerminal) {
  ServeFleet();
  server_.On("/api/v1/devices/pi-3/segments",
             [](const HttpRequest&) { return ErrorResponse(absl::FailedPreconditionError(std::string(200, 'x'))); });
  screen_.is_terminal = true;
  screen_.size = [] { return Screen::Size{.columns = 50, .rows = 40}; };
  EXPECT_EQ(Run(absl::StrCat("segment --online 2", kMotion)), kFailed);
  EXPECT_THAT(out(), StartsWith("pi-3                refused     xxxxxxxxxxxxxxxx..\n"));
}

TEST_F(GroupVerbTest, NobodyToSendItToIsAnError) {
  server_.On("/api/v1/devices", v1::DeviceList());
  EXPECT_EQ(Run(absl::StrCat("segment --online 2", kMotion)), kFailed);
  EXPECT_THAT(err(), HasSubstr("no device is online"));
}

TEST_F(GroupVerbTest, AnInterruptSaysWhatWasNotWaitedFor) {
  ServeFleet();
  server_.On("/api/v1/commands/103", [&](const HttpRequest&) {
    interrupt_.Trigger();
    return JsonResponse(Of("pi-3", "103", 5));
  });
  EXPECT_EQ(Run(absl::StrCat("segment --all 2 --at-once 1", kMotion)), kFailed);
  EXPECT_THAT(out(), HasSubstr("3 devices: 1 not waited for, 2 not started"));
}

}  // namespace
}  // namespace fleet
