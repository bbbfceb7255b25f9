// The poller against simulated controllers.
#include "device/can/obd_poller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/can/testing/obd_bench.h"

namespace fleet::device {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

using ObdPollerTest = ObdBench;

TEST_F(ObdPollerTest, ItAsksWhatIsSupportedAndOnlyThen) {
  AddEngine();
  Begin(Plan({Pid(kRpm, 0), Pid(kOdometer, 2)}));
  Run(absl::Milliseconds(300));
  EXPECT_THAT(Requests(), ElementsAre("0100", "010c")) << "the bitmap says that there is none from 20 on";
  EXPECT_EQ(poller_->unsupported(), 1u);
  EXPECT_THAT(Samples("vehicle/odometer"), ElementsAre(-1));
  Run(absl::Seconds(10));
  EXPECT_THAT(Requests(), AllOf(testing::SizeIs(10), testing::Each("010c")));
}

TEST_F(ObdPollerTest, BitmapsAreFollowedAsFarAsNeeded) {
  AddEcu(0x7E8, {{kRpm, {0x17, 0x70}}, {kOdometer, {0x00, 0x12, 0xD6, 0x87}}, {0xC1, {0}}});
  Begin(Plan({Pid(kRpm, 0), Pid(kOdometer, 2)}));
  Run(absl::Seconds(1));
  EXPECT_THAT(Requests(), ElementsAre("0100", "0120", "0140", "0160", "0180", "01a0", "010ca6"));
  EXPECT_THAT(Samples("vehicle/odometer"), ElementsAre(testing::DoubleEq(123456.7)));
}

TEST_F(ObdPollerTest, ParametersShareRequestsOfSixAndLongAnswersGetFlowControl) {
  AddEcu(
      0x7E8,
      {{0x04, {0x3F}}, {0x05, {0x44}}, {0x0B, {0x21}}, {0x0C, {0x17, 0xB8}}, {0x0D, {0}}, {0x0F, {0x50}}, {0x11, {0}}});
  Begin(Plan({Pid(0x04, 3), Pid(0x05, 4), Pid(0x0B, 5), Pid(kRpm, 0), Pid(kSpeed, 1), Pid(0x0F, 6), Pid(0x11, 2)}));
  Run(absl::Milliseconds(350));
  EXPECT_THAT(Requests(), ElementsAre("0100", "0104050b0c0d0f", "0111"));
  EXPECT_THAT(Samples("engine/rpm"), ElementsAre(1518));
  Run(absl::Seconds(5));
  EXPECT_EQ(poller_->counters().misfits, 0u);
  EXPECT_EQ(poller_->counters().unanswered, 0u);
}

TEST_F(ObdPollerTest, PeriodsAreKept) {
  AddEngine();
  Begin(Plan({Pid(kRpm, 0, absl::Milliseconds(100)), Pid(kSpeed, 1, absl::Seconds(1))}));
  Run(absl::Milliseconds(255));
  Requests();
  Run(absl::Seconds(10));
  const std::vector<std::string> requests = Requests();
  EXPECT_EQ(std::ranges::count(requests, "010c") + std::ranges::count(requests, "010c0d"), 100);
  EXPECT_EQ(std::ranges::count(requests, "010c0d"), 10);
}

TEST_F(ObdPollerTest, WhatHadToWaitDoesNotFallBehind) {
  AddEngine().delay = absl::Milliseconds(30);
  Begin(Plan({Pid(kRpm, 0, absl::Milliseconds(100)), Pid(kSpeed, 1, absl::Milliseconds(70))}));
  Run(absl::Milliseconds(300));
  Requests();
  Run(absl::Seconds(7));
  int rpm = 0;
  int speed = 0;
  for (const std::string& request : Requests()) {
    rpm += request != "010d" ? 1 : 0;
    speed += request != "010c" ? 1 : 0;
  }
  EXPECT_EQ(rpm, 70);
  EXPECT_EQ(speed, 100);
}

TEST_F(ObdPollerTest, OneParameterMayFeedSeveralSignals) {
  AddEngine();
  Begin(Plan({Pid(kRpm, 0, absl::Seconds(5)), Pid(kRpm, 3, absl::Seconds(1))}));
  Run(absl::Milliseconds(4500));
  EXPECT_EQ(Requests().size(), 1u + 5u);
  EXPECT_EQ(Samples("engine/rpm").size(), 5u) << "the book keeps to the period of each";
}

TEST_F(ObdPollerTest, IdsOf29BitsWorkAlike) {
  AddEcu(0x18DAF110, {{kRpm, {0x17, 0x70}}, {kSpeed, {0x28}}, {0x04, {1}}, {0x05, {2}}});
  Begin(Plan({Pid(kRpm, 0), Pid(kSpeed, 1), Pid(0x04, 3), Pid(0x05, 4)}, absl::ZeroDuration(), true));
  Run(absl::Seconds(1));
  EXPECT_THAT(Samples("engine/rpm"), ElementsAre(1500));
  EXPECT_EQ(poller_->counters().misfits, 0u);
}

TEST_F(ObdPollerTest, OfTwoControllersTheFirstOneCounts) {
  AddEngine();
  AddEcu(0x7E9, {{kSpeed, {0x63}}, {0x05, {0x5A}}}).delay = absl::Milliseconds(1);
  Begin(Plan({Pid(kSpeed, 1), Pid(0x05, 3)}));
  Run(absl::Milliseconds(900));
  EXPECT_THAT(Samples("vehicle/speed"), ElementsAre(40));
  EXPECT_EQ(poller_->counters().misfits, 0u) << "both are waited for";
  EXPECT_EQ(poller_->unsupported(), 0u) << "05 is of the second";
}

TEST_F(ObdPollerTest, AnswersThatDoNotFitChangeNothing) {
  FakeEcu& engine = AddEngine();
  engine.says["010c"] = {{0x41, kRpm, 0x17}};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(900));
  EXPECT_THAT(Samples("engine/rpm"), IsEmpty());
  EXPECT_EQ(poller_->counters().misfits, 1u);
  engine.says["010c"] = {{0x41, kSpeed, 0x17}};
  Run(absl::Seconds(1));
  engine.says["010c"] = {{0x41, kRpm, 0x17, 0x70, 0x00}};
  Run(absl::Seconds(1));
  EXPECT_THAT(Samples("engine/rpm"), IsEmpty());
}

TEST_F(ObdPollerTest, ControllersWithoutGroupsAreAskedOneByOne) {
  AddEngine().says = {{"010c0d", {}}};
  Begin(Plan({Pid(kRpm, 0, absl::Milliseconds(500)), Pid(kSpeed, 1, absl::Milliseconds(500))}));
  Run(absl::Seconds(5));
  EXPECT_EQ(std::ranges::count(Requests(), "010c0d"), ObdPoller::kMaxGroupFailures);
  Run(absl::Seconds(5));
  EXPECT_THAT(Requests(), AllOf(Contains("010c"), Contains("010d"), testing::Not(Contains("010c0d"))));
}

TEST_F(ObdPollerTest, ControllersThatAnswerTheFirstOfAGroupOnlyAreAskedOneByOne) {
  AddEngine().most_parameters = 1;
  Begin(Plan({Pid(kRpm, 0, absl::Milliseconds(500)), Pid(kSpeed, 1, absl::Milliseconds(500))}));
  Run(absl::Seconds(5));
  EXPECT_EQ(std::ranges::count(Requests(), "010c0d"), ObdPoller::kMaxGroupFailures);
  EXPECT_FALSE(Samples("vehicle/speed").empty());
}

TEST_F(ObdPollerTest, AParameterThatNeverComesDoesNotSpoilTheGroup) {
  FakeEcu& engine = AddEngine();
  engine.says["010405"] = {};
  engine.parameters[0x04] = {1};
  engine.parameters[0x05] = {1};
  engine.says["0104050c"] = {{0x41, 0x04, 1, kRpm, 0x17, 0x70}};
  engine.says["0105"] = {};
  Begin(Plan({Pid(0x04, 3), Pid(0x05, 4), Pid(kRpm, 0)}));
  Run(absl::Seconds(3));
  Requests();
  Run(absl::Seconds(3));
  EXPECT_THAT(Requests(), AllOf(Contains("01040c"), Contains("0105"), testing::Not(Contains("0104050c"))));
}

TEST_F(ObdPollerTest, WhoSaysPendingIsWaitedFor) {
  FakeEcu& engine = AddEngine();
  engine.says["010c"] = {{0x7F, 0x01, 0x78}, {0x41, kRpm, 0x17, 0x70}};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(249));
  engine.delay = absl::Milliseconds(4900);
  Run(absl::Milliseconds(100));
  Hear("7E8#037F0178");
  Run(absl::Seconds(9));
  EXPECT_THAT(Requests(), ElementsAre("0100", "010c"));
  EXPECT_THAT(Samples("engine/rpm"), IsEmpty());
  Run(absl::Seconds(1));
  EXPECT_THAT(Samples("engine/rpm"), ElementsAre(1500));
}

TEST_F(ObdPollerTest, PendingForEverEndsToo) {
  FakeEcu& engine = AddEngine();
  engine.says["010c"] = std::vector<Bytes>(1000, Bytes{0x7F, 0x01, 0x78});
  engine.delay = absl::Milliseconds(200);
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(250) + ObdExchange::kLongest - absl::Milliseconds(1));
  EXPECT_THAT(Requests(), ElementsAre("0100", "010c"));
  Run(absl::Milliseconds(1));
  EXPECT_THAT(Requests(), ElementsAre("010c"));
}

TEST_F(ObdPollerTest, ARefusalForGoodMakesTheSignalInvalid) {
  FakeEcu& engine = AddEngine();
  engine.says["010c"] = {{0x7F, 0x01, 0x12}};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Seconds(5));
  EXPECT_THAT(Requests(), ElementsAre("0100", "010c"));
  EXPECT_THAT(Samples("engine/rpm"), ElementsAre(-1));
  EXPECT_EQ(poller_->counters().refusals, 1u);
  engine.says.clear();
  Run(absl::Minutes(1));
  EXPECT_THAT(Samples("engine/rpm"), Contains(1500)) << "after a minute it is tried again";
}

TEST_F(ObdPollerTest, ABusyControllerIsAskedAgain) {
  AddEngine().says["010c"] = {{0x7F, 0x01, 0x21}};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(3500));
  EXPECT_EQ(std::ranges::count(Requests(), "010c"), 4);
  EXPECT_EQ(poller_->unsupported(), 0u);
}

TEST_F(ObdPollerTest, ABusWithoutControllersIsAskedWithGrowingPauses) {
  Begin(Plan({Pid(kRpm, 0)}));
  std::vector<int64_t> at;
  const MonoTime start = clock_.Read().mono;
  for (int i = 0; i < 1200; ++i) {
    Run(absl::Milliseconds(100));
    if (!Requests().empty()) at.push_back((clock_.Read().mono - start) / absl::Seconds(1));
  }
  EXPECT_THAT(at, ElementsAre(0, 1, 3, 7, 16, 32, 62, 92));
  EXPECT_EQ(poller_->counters().unanswered, poller_->counters().requests);
}

TEST_F(ObdPollerTest, ARefusingBusIsNotFloodedEither) {
  AddEngine().says["0100"] = {{0x7F, 0x01, 0x22}};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Seconds(60));
  EXPECT_LE(Requests().size(), 7u);
  EXPECT_FALSE(poller_->alive());
}

TEST_F(ObdPollerTest, ControllersMayFallAsleepAndWakeUp) {
  FakeEcu& engine = AddEngine();
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Seconds(2));
  EXPECT_TRUE(poller_->alive());
  engine.mute = true;
  Run(absl::Seconds(20));
  EXPECT_FALSE(poller_->alive());
  engine.mute = false;
  Run(absl::Seconds(30));
  EXPECT_TRUE(poller_->alive());
  Samples("engine/rpm");
  Run(absl::Seconds(3));
  EXPECT_EQ(Samples("engine/rpm").size(), 3u);
}

TEST_F(ObdPollerTest, LateAnswersAreDiscardedAndTeachPatience) {
  FakeEcu& engine = AddEngine();
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(400));
  engine.delay = absl::Milliseconds(700);
  Samples("engine/rpm");
  Run(absl::Seconds(30));
  EXPECT_GE(poller_->counters().misfits, 1u);
  EXPECT_LE(poller_->counters().misfits, 3u);
  EXPECT_GT(Samples("engine/rpm").size(), 20u);
}

TEST_F(ObdPollerTest, TheBusMayGoAndComeBack) {
  AddEngine();
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Seconds(1));
  poller_->BusChanged(false, clock_.Read().mono);
  EXPECT_EQ(poller_->NextDue(), MonoTime::Max());
  Requests();
  Run(absl::Seconds(60));
  EXPECT_THAT(Requests(), IsEmpty());
  poller_->BusChanged(true, clock_.Read().mono);
  Run(absl::Milliseconds(300));
  EXPECT_THAT(Requests(), ElementsAre("0100", "010c")) << "at once";
}

TEST_F(ObdPollerTest, NothingIsAskedBeforeTheBusIsUp) {
  poller_.emplace(3, "can0", Plan({Pid(kRpm, 0)}));
  Run(absl::Minutes(5));
  EXPECT_THAT(Requests(), IsEmpty());
  EXPECT_EQ(poller_->Clear(1, clock_.Read().mono).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ObdPollerTest, AnotherTesterIsLeftAlone) {
  const char* foreign = "7E8#1014490201314434";  // a long answer to 09 02, which we do not ask
  FakeEcu& engine = AddEngine();
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(900));
  Hear(foreign);
  Hear("7E8#03410D28");
  engine.mute = true;
  Run(absl::Milliseconds(400));
  EXPECT_THAT(Requests(), ElementsAre("0100", "010c", "010c")) << "the last one is under way";
  Hear(foreign);
  EXPECT_THAT(effects_.writes, IsEmpty()) << "no flow control";
  EXPECT_THAT(Samples("vehicle/speed"), IsEmpty());
}

TEST_F(ObdPollerTest, FramesOfOthersAreNotAnswers) {
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(1));
  for (const char* text : {"7E7#0641001818000000", "7F0#0641001818000000", "000007E8#0641001818000000",
                           "18DAF110#0641001818000000", "7E8##00641001818000000", "7E8#R8"}) {
    Hear(text);
  }
  CanFrame sent = Frame("7E8#0641001818000000");
  sent.flags |= kCanSent;
  poller_->Hear(sent, clock_, out());
  Run(absl::Milliseconds(300));
  EXPECT_FALSE(poller_->alive());
  EXPECT_EQ(poller_->counters().unanswered, 1u);
}

TEST_F(ObdPollerTest, ControllersBeyondTheBoundAreCounted) {
  Begin(Plan({Pid(kRpm, 0)}, absl::ZeroDuration(), true));
  Run(absl::Milliseconds(1));
  for (int ecu = 0; ecu < 20; ++ecu) Hear(absl::StrCat("18DAF1", absl::Hex(0x10 + ecu), "#0641001818000000"));
  EXPECT_EQ(poller_->counters().too_many, 4u);
  EXPECT_EQ(poller_->counters().answers, 16u);
}

TEST_F(ObdPollerTest, ValuesHaveTheTimeOfTheirFrame) {
  AddEngine().says["010c"] = {};
  Begin(Plan({Pid(kRpm, 0)}));
  Run(absl::Milliseconds(300));
  CanFrame frame = Frame("7E8#04410C1770");
  frame.at_unix_us = 1'700'000'000'123'456;
  poller_->Hear(frame, clock_, out());
  ASSERT_EQ(effects_.samples.size(), 1u);
  EXPECT_EQ(effects_.samples[0].at_unix_ms, 1'700'000'000'123);
}

}  // namespace
}  // namespace fleet::device
