// The verbs that dump a bus, send to it and bridge it.
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

class CanVerbTest : public FleetctlTest {
 protected:
  static constexpr char kTaps[] = "/api/v1/devices/van-7/can/can0/taps";
  static constexpr char kSend[] = "/api/v1/devices/van-7/can/can0/send";

  static v1::CanTapEvent Frames(const std::vector<std::string>& lines) {
    v1::CanTapEvent event;
    for (const std::string& line : lines) event.add_frames(line);
    return event;
  }
  v1::CanTapEvent End(absl::string_view state, const std::string& detail = "") const {
    v1::CanTapEvent event;
    event.set_lost(2);
    event.set_dropped(1234567);
    event.set_skipped(4);
    *event.mutable_end() = Command(6, state);
    event.mutable_end()->mutable_steps(5)->set_detail(detail);
    return event;
  }
  // `next`: number of the batch after it.
  static v1::CanTapEvent Batch(double next, double lost, double dropped, double skipped) {
    v1::CanTapEvent event = Frames({"(1436509052.249713) can0 123#1122"});
    event.set_next_batch(next);
    event.set_lost(lost);
    event.set_dropped(dropped);
    event.set_skipped(skipped);
    return event;
  }
  // The tap runs, and this is what it brings.
  void ServeTap(std::vector<std::vector<v1::CanTapEvent>> streams, std::function<void()> at_end = nullptr) {
    server_.On(kTaps, [this](const HttpRequest& request) {
      EXPECT_TRUE(FromJson(request.body, asked_).ok());
      return JsonResponse(Command(5));
    });
    server_.On("/api/v1/commands/17/cancel", [this](const HttpRequest&) {
      ++taken_back_;
      return JsonResponse(v1::CancelResult());
    });
    server_.OnTap(std::move(streams), std::move(at_end));
  }

  v1::CanTapRequest asked_;
  int taken_back_ = 0;
};

TEST_F(CanVerbTest, DumpPrintsAsCandumpDoes) {
  ServeTap({{Frames({"(1436509052.249713) can0 123#1122", "(1436509052.249714) can0 18FEF100#R"}),
             Frames({"(1436509052.249715) can0 123#"}), End("done")}});
  ASSERT_EQ(Run("can dump van-7 can0 --filter 100:700 --for 5m"), kDone) << err();
  EXPECT_EQ(out(),
            "  can0  123   [2]  11 22\n"
            "  can0  18FEF100   [0]  remote request\n"
            "  can0       123   [0] \n");
  EXPECT_EQ(err(), "fleetctl: 3 frames; lost 2, dropped 1234567, skipped 4\n");
  EXPECT_EQ(asked_.ShortDebugString(),
            absl::StrCat("filters: \"100:700\" for_ms: 300000 sent_too: true by: \"", Asker(), "\""));
  EXPECT_EQ(taken_back_, 0);
}

TEST_F(CanVerbTest, DumpLogPrintsTheLinesAsTheyCome) {
  ServeTap({{Frames({"(1436509052.249713) can0 123#1122", "(1436509052.249714) can0 7DF#02010C T", "of 2031"}),
             End("done")}});
  ASSERT_EQ(Run("can dump van-7 can0 --log"), kDone);
  EXPECT_EQ(out(), "(1436509052.249713) can0 123#1122\n(1436509052.249714) can0 7DF#02010C T\nof 2031\n");
}

TEST_F(CanVerbTest, DumpShowsALineOfANewerServerAsItIsButNothingDrivesTheTerminal) {
  ServeTap({{Frames({"(1.0) can0 XL#\x1b[2J"}), End("done")}});
  ASSERT_EQ(Run("can dump van-7 can0"), kDone);
  EXPECT_EQ(out(), "(1.0) can0 XL#?[2J\n");
}

TEST_F(CanVerbTest, DumpAsJsonIsAnEventPerLine) {
  const v1::CanTapEvent frames = Frames({"(1436509052.249713) can0 123#1122"});
  ServeTap({{frames, End("done")}});
  ASSERT_EQ(Run("can dump van-7 can0 --output json"), kDone);
  EXPECT_EQ(out(), ToJson(frames) + ToJson(End("done")));
}

TEST_F(CanVerbTest, ARefusedTapIsExitCode1WithTheReason) {
  v1::CommandView refused = Command(6, "rejected");
  refused.mutable_steps(5)->set_reason("not_allowed");
  refused.mutable_steps(5)->set_detail("a tap may last 10m here");
  refused.set_summary("tap can0 for 1h");
  server_.On(kTaps, refused);
  EXPECT_EQ(Run("can dump van-7 can0 --for 1h"), kFailed);
  EXPECT_EQ(err(), "fleetctl: pi-1 does not tap can0 for 1h: rejected: not_allowed: a tap may last 10m here\n");
  EXPECT_EQ(out(), "");
  server_.On(kTaps,
             [](const HttpRequest&) { return ErrorResponse(absl::FailedPreconditionError("van-7 is offline")); });
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl: van-7 is offline\n"));
}

TEST_F(CanVerbTest, ATapThatNobodyHasHeardOfIsTakenBack) {
  ServeTap({});
  server_.On(kTaps, Command(2));
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr(": sent\n"));
  EXPECT_EQ(taken_back_, 1);
}

TEST_F(CanVerbTest, ATapThatEndsOtherwiseIsExitCode1) {
  ServeTap({{End("cancelled", "frames 12")}});
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl: the tap ended as cancelled: frames 12\n"));
}

TEST_F(CanVerbTest, CtrlCTakesTheTapBack) {
  ServeTap({{}}, [this] { interrupt_.Trigger(); });
  EXPECT_EQ(Run("can dump van-7 can0"), kDone) << err();
  EXPECT_EQ(taken_back_, 1);
  EXPECT_EQ(err(), "fleetctl: 0 frames; lost 0, dropped 0, skipped 0\n");
}

TEST_F(CanVerbTest, ATapThatCannotBeTakenBackIsSaid) {
  ServeTap({{}}, [this] { interrupt_.Trigger(); });
  server_.On("/api/v1/commands/17/cancel",
             [](const HttpRequest&) { return ErrorResponse(absl::UnavailableError("too many wait already")); });
  EXPECT_EQ(Run("can dump van-7 can0"), kDone);
  EXPECT_THAT(err(), HasSubstr("could not be taken back (too many wait already)"));
}

TEST_F(CanVerbTest, AServerThatRestartsIsWaitedForAndItsTapReadOn) {
  ServeTap({{Frames({"(1436509052.249713) can0 123#11"})}, {Frames({"(1436509052.249714) can0 123#22"}), End("done")}});
  EXPECT_EQ(Run("can dump van-7 can0"), kDone);
  EXPECT_EQ(out(), "  can0  123   [1]  11\n  can0  123   [1]  22\n");
  EXPECT_THAT(err(), HasSubstr("ended the stream; trying again\n"));
  EXPECT_THAT(err(), HasSubstr("fleetctl: 2 frames; "));
}

TEST_F(CanVerbTest, AServerThatRestartsIsWaitedForOnAQuietBusToo) {
  v1::CanTapEvent end;
  *end.mutable_end() = Command(6);
  ServeTap({{}, {end}}, [this] { clock_.Advance(absl::Minutes(5)); });
  EXPECT_EQ(Run("can dump van-7 can0"), kDone) << err();
  EXPECT_THAT(err(), HasSubstr("ended the stream; trying again\n"));
}

// The server counts anew, the device does not. Of the batches 1 to 19 five were lost on the way, and 6 to 15 while
// there was no server.
TEST_F(CanVerbTest, WhatIsLostOverARestartIsAddedUp) {
  v1::CanTapEvent end;
  *end.mutable_end() = Command(6);
  end.set_lost(2);
  end.set_dropped(8);
  end.set_skipped(10);
  ServeTap({{Batch(2, 0, 7, 0), Batch(6, 3, 7, 100)}, {Batch(17, 2, 8, 0), Batch(20, 2, 8, 10), end}});
  EXPECT_EQ(Run("can dump van-7 can0"), kDone) << err();
  EXPECT_THAT(err(), HasSubstr("fleetctl: 4 frames; lost 15, dropped 8, skipped 110\n"));
}

TEST_F(CanVerbTest, AServerThatDoesNotNumberBatchesLosesNoneBetweenStreams) {
  ServeTap({{Batch(0, 2, 0, 0)}, {Batch(0, 0, 0, 0), Batch(5, 1, 0, 0)}});
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl: 3 frames; lost 3, "));
}

TEST_F(CanVerbTest, ATapThatEndedMeanwhileSaysHow) {
  ServeTap({{}});
  v1::CommandView failed = Command(6, "failed");
  failed.mutable_steps(5)->set_reason("bus_failed");
  failed.mutable_steps(5)->set_detail("can0 is down");
  server_.On("/api/v1/commands/17", failed);
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl: the tap ended as failed: bus_failed: can0 is down\n"));
  server_.On("/api/v1/commands/17", Command(6));
  ServeTap({});
  EXPECT_EQ(Run("can dump van-7 can0 --output json"), kDone);
  EXPECT_THAT(out(), HasSubstr("\"state\":\"done\""));
}

TEST_F(CanVerbTest, ATapThatSomebodyElseReadsIsNotSaidToHaveEnded) {
  ServeTap({{}});
  server_.On("/api/v1/commands/17", Command(5));
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl: the tap is over: no tap 17 is open\n"));
}

TEST_F(CanVerbTest, AServerThatForgotTheTapEndsIt) {
  ServeTap({{}});
  EXPECT_EQ(Run("can dump van-7 can0"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl: the tap is over: no tap 17 is open\n"));
}

TEST_F(CanVerbTest, SendWaitsForTheEndAndSaysWhyNot) {
  v1::CanSendRequest asked;
  server_.On(kSend, [&asked, this](const HttpRequest& request) {
    EXPECT_TRUE(FromJson(request.body, asked).ok());
    return JsonResponse(Command(1));
  });
  server_.On("/api/v1/commands/17", Command(6));
  ASSERT_EQ(Run("can send van-7 can0 7df#02010C 105#"), kDone) << err();
  EXPECT_EQ(asked.ShortDebugString(), absl::StrCat("frames: \"7DF#02010C\" frames: \"105#\" by: \"", Asker(), "\""));
  v1::CommandView refused = Command(6, "rejected");
  refused.mutable_steps(5)->set_reason("not_allowed");
  refused.mutable_steps(5)->set_detail("7E0#0201 is not on the list of what may be sent");
  server_.On("/api/v1/commands/17", refused);
  EXPECT_EQ(Run("can send van-7 can0 7DF#02010C 7E0#0201"), kFailed);
  EXPECT_THAT(out(), HasSubstr("rejected  not_allowed: 7E0#0201 is not on the list"));
}

TEST_F(CanVerbTest, ABridgeSaysWhereItsPortIsAndWhyItEnds) {
  ServeTap({{Frames({"(1436509052.249713) can0 123#1122", "of 2031"}), End("done")}});
  const std::string link = absl::StrCat(::testing::TempDir(), "fleetctl_bridge_port");
  ASSERT_EQ(Run(absl::StrCat("can bridge van-7 can0 --to slcan-pty:", link)), kDone) << err();
  EXPECT_EQ(out(), link + "\n");
  EXPECT_FALSE(asked_.sent_too());
  EXPECT_THAT(err(), HasSubstr(absl::StrCat("fleetctl: can0 of van-7 is joined with ", link, " for 10m; Ctrl-C")));
  EXPECT_THAT(err(), HasSubstr("fleetctl: the bridge is down: its time of 10m is over; --for makes it longer\n"));
  EXPECT_THAT(err(), HasSubstr(absl::StrCat("fleetctl: to ", link, " 0, not written ")));
}

TEST_F(CanVerbTest, ABridgeWithoutAnInterfaceToJoinSaysSo) {
  ServeTap({{}}, [this] { interrupt_.Trigger(); });
  ASSERT_EQ(Run("can bridge van-7 can0 --to nosuchcan0"), kDone) << err();
  EXPECT_EQ(out(), "");
  EXPECT_EQ(taken_back_, 1);
}

TEST_F(CanVerbTest, NoTapIsStartedWhenThereIsNoPlaceForThePort) {
  int taps = 0;
  server_.On(kTaps, [&](const HttpRequest&) {
    ++taps;
    return JsonResponse(Command(5));
  });
  EXPECT_EQ(Run(absl::StrCat("can bridge van-7 can0 --to slcan-pty:", ::testing::TempDir(), "none/port")), kFailed);
  EXPECT_THAT(err(), HasSubstr("none/port"));
  EXPECT_EQ(taps, 0);
}

}  // namespace
}  // namespace fleet
