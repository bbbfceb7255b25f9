// The verbs that send one command, follow it and take it back.
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

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

TEST_F(FleetctlTest, AnUnknownEndSaysThatItResolvesByItself) {
  v1::CommandView command = Command(6, "unknown");
  command.mutable_steps(5)->set_reason("device_offline_lost");
  server_.On("/api/v1/devices/pi-1/segments", command);
  EXPECT_EQ(Run("segment pi-1 2 --from 0,0 --to 1,1 --v0 1 --v1 1 --wait"), kFailed);
  EXPECT_THAT(out(), HasSubstr("unknown  device_offline_lost\n"
                               "it resolves by itself when the device is back: fleetctl command 17 --wait; to ask now: "
                               "fleetctl command reconcile 17\n"));
}

TEST_F(FleetctlTest, WhatNobodyWillEverKnowIsSaidSo) {
  v1::CommandView command = Command(6, "unknown");
  command.set_reason("memory_lost");
  server_.On("/api/v1/commands/17", command);
  EXPECT_EQ(Run("command 17 --wait"), kFailed);
  EXPECT_THAT(out(), HasSubstr("nobody will ever know"));
  EXPECT_THAT(out(), Not(HasSubstr("resolves by itself")));
}

TEST_F(FleetctlTest, ReconcileAsksAndShowsTheAnswer) {
  server_.On("/api/v1/commands/17/reconcile", Command(6, "unknown"));
  server_.On("/api/v1/commands/17", [&](const HttpRequest& request) {
    EXPECT_EQ(request.query.at("after_steps"), "6");
    v1::CommandView command = Command(6, "unknown");
    v1::CommandStepView& step = *command.add_steps();
    step.set_state("done");
    step.set_since_issue_ms(99);
    command.set_state("done");
    return JsonResponse(command);
  });
  ASSERT_EQ(Run("command reconcile 17"), kDone) << err();
  EXPECT_THAT(out(), HasSubstr("unknown\n     99.0 ms  done\n"));
}

TEST_F(FleetctlTest, ReconcileWithoutAnAnswerIsExitCode1AfterFiveSeconds) {
  std::vector<std::string> timeouts;
  server_.On("/api/v1/commands/17/reconcile", Command(6, "unknown"));
  server_.On("/api/v1/commands/17", [&](const HttpRequest& request) {
    timeouts.push_back(request.query.at("timeout_ms"));
    clock_.Advance(absl::Seconds(3));
    return JsonResponse(Command(6, "unknown"));
  });
  EXPECT_EQ(Run("command reconcile 17"), kFailed);
  EXPECT_THAT(timeouts, ElementsAre("5000", "2000"));
  EXPECT_THAT(out(), HasSubstr("no answer yet\nit resolves by itself"));
}

TEST_F(FleetctlTest, ReconcileOfACommandThatIsNotThereSaysWhereToLook) {
  EXPECT_EQ(Run("command reconcile 17"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl commands lists"));
}

TEST_F(FleetctlTest, CancelShowsWhatEndedAtOnceAndWhatWasSent) {
  v1::CancelResult result;
  v1::CommandView queued = Command(1);
  v1::CommandStepView& step = *queued.add_steps();
  step.set_state("cancelled");
  step.set_reason("operator");
  queued.set_state("cancelled");
  *result.add_commands() = queued;
  *result.add_commands() = Cancel("18", "pi-1", 2);
  server_.On("/api/v1/devices/pi-1/entities/3/cancel", result);
  ASSERT_EQ(Run("cancel --device pi-1 --entity 3"), kDone) << err();
  EXPECT_EQ(out(),
            "command 17 to pi-1/2: line (-100,20) to (900,20) at 500 to 300 mm/s: cancelled  operator\n"
            "command 18 to pi-1: cancel everything, time to live 5s\n"
            "      0.0 ms  queued\n"
            "      1.5 ms  sent\n"
            "what becomes of it: fleetctl command 18 --wait\n");
}

TEST_F(FleetctlTest, CancelWaitsForTheDeviceWhenAsked) {
  v1::CancelResult result;
  *result.add_commands() = Cancel("18", "pi-1", 2);
  server_.On("/api/v1/commands/17/cancel", result);
  server_.On("/api/v1/commands/18", Cancel("18", "pi-1", 6));
  ASSERT_EQ(Run("cancel 17 --wait"), kDone) << err();
  EXPECT_THAT(out(), HasSubstr("7.5 ms  done\n"));
  server_.On("/api/v1/commands/18", Cancel("18", "pi-1", 6, "expired"));
  EXPECT_EQ(Run("cancel 17 --wait"), kFailed);
}

TEST_F(FleetctlTest, CancelAsJsonIsTheResult) {
  v1::CancelResult result;
  *result.add_commands() = Cancel("18", "pi-1", 2);
  server_.On("/api/v1/devices/pi-1/cancel", result);
  ASSERT_EQ(Run("cancel --device pi-1 --output json"), kDone);
  EXPECT_EQ(out(), ToJson(result));
}

TEST_F(FleetctlTest, CancelOfNothingSaysSo) {
  server_.On("/api/v1/devices/pi-1/cancel", v1::CancelResult());
  ASSERT_EQ(Run("cancel --device pi-1"), kDone);
  EXPECT_EQ(out(), "there was nothing to take back\n");
}

TEST_F(FleetctlTest, ACancelThatIsRefusedIsExitCode1) {
  server_.On("/api/v1/devices/pi-1/cancel",
             [](const HttpRequest&) { return ErrorResponse(absl::FailedPreconditionError("pi-1 is offline")); });
  EXPECT_EQ(Run("cancel --device pi-1"), kFailed);
  EXPECT_EQ(err(), "fleetctl: pi-1 is offline\n");
}

}  // namespace
}  // namespace fleet
