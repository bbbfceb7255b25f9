#include "common/can/replay_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "common/testing/fake_clock.h"
#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A replay on a clock that the test moves.
class ReplayBusTest : public testing::Test {
 protected:
  absl::Status Open(const std::string& log, ReplayOptions options = {}) {
    options.path = dir_.Write("drive.log", log);
    options.clock = &clock_;
    auto bus = OpenReplayBus(options);
    if (bus.ok()) bus_ = *std::move(bus);
    return bus.status();
  }

  // "+<ms since the test began> <frame>" of each frame that is due.
  std::vector<std::string> Read() {
    std::vector<CanFrame> frames;
    bus_->Read(absl::ZeroDuration(), frames);
    std::vector<std::string> texts;
    for (const CanFrame& frame : frames) {
      texts.push_back(absl::StrCat("+", (frame.at_unix_us - absl::ToUnixMicros(began_)) / 1000, " "));
      AppendCanFrameText(frame, texts.back());
    }
    return texts;
  }
  std::vector<std::string> ReadAfter(absl::Duration d) {
    clock_.Advance(d);
    return Read();
  }

  const TempDir dir_;
  FakeClock clock_;
  const absl::Time began_ = clock_.Read().wall;
  std::unique_ptr<CanBus> bus_;
};

constexpr char kThree[] =
    "(1436509052.000000) can0 100#\n"
    "(1436509052.100000) can0 101#11\n"
    "(1436509052.100000) can0 102##1AA\n";

TEST_F(ReplayBusTest, GivesFramesWhenTheyAreDueWithTimesOfNow) {
  ASSERT_TRUE(Open(kThree).ok());
  EXPECT_THAT(Read(), ElementsAre("+0 100#"));
  EXPECT_THAT(ReadAfter(absl::Milliseconds(99)), IsEmpty());
  EXPECT_THAT(ReadAfter(absl::Milliseconds(1)), ElementsAre("+100 101#11", "+100 102##1AA"));
}

TEST_F(ReplayBusTest, BeginsWithTheFirstRead) {
  ASSERT_TRUE(Open(kThree).ok());
  EXPECT_THAT(ReadAfter(absl::Minutes(5)), ElementsAre("+300000 100#"));
}

TEST_F(ReplayBusTest, RunsFasterAndSlower) {
  ASSERT_TRUE(Open(kThree, {.speed = 10}).ok());
  Read();
  EXPECT_THAT(ReadAfter(absl::Milliseconds(10)), ElementsAre("+10 101#11", "+10 102##1AA"));
  ASSERT_TRUE(Open(kThree, {.speed = 0.5}).ok());
  Read();
  EXPECT_THAT(ReadAfter(absl::Milliseconds(199)), IsEmpty());
  EXPECT_THAT(ReadAfter(absl::Milliseconds(1)), SizeIs(2));
}

TEST_F(ReplayBusTest, AtSpeedZeroGivesAllAsItIsRead) {
  std::string log;
  for (size_t i = 0; i <= CanBus::kMaxRead; ++i) absl::StrAppend(&log, "(", i, ".0) can0 123#\n");
  ASSERT_TRUE(Open(log, {.speed = 0}).ok());
  EXPECT_THAT(Read(), SizeIs(CanBus::kMaxRead));
  EXPECT_THAT(ReadAfter(absl::Milliseconds(7)), ElementsAre("+7 123#"));
}

TEST_F(ReplayBusTest, IsDownWhenTheLogIsOver) {
  ASSERT_TRUE(Open("(5.0) can0 100#\n").ok());
  EXPECT_TRUE(bus_->report().up);
  EXPECT_THAT(Read(), SizeIs(1));
  EXPECT_FALSE(bus_->report().up);
  EXPECT_EQ(bus_->report().problem, "the log is over");
  EXPECT_THAT(ReadAfter(absl::Hours(1)), IsEmpty());
}

TEST_F(ReplayBusTest, LoopsWithoutEndAndKeepsTheDistances) {
  ASSERT_TRUE(Open("(5.0) can0 100#\n(5.1) can0 101#\n", {.loop = true}).ok());
  Read();
  EXPECT_THAT(ReadAfter(absl::Milliseconds(300)), ElementsAre("+100 101#", "+101 100#", "+201 101#", "+202 100#"));
  EXPECT_TRUE(bus_->report().up);
}

TEST_F(ReplayBusTest, ALoopOfOneMomentIsNoFlood) {
  ASSERT_TRUE(Open("(5.0) can0 100#\n", {.speed = 1000, .loop = true}).ok());
  Read();
  EXPECT_THAT(ReadAfter(absl::Milliseconds(10)), SizeIs(10));
}

TEST_F(ReplayBusTest, TimesThatJumpStopNothing) {
  ASSERT_TRUE(Open("(100.0) can0 100#\n(50.0) can0 101#\n(1436509052.0) can0 102#\n(1436509052.1) can0 103#\n").ok());
  EXPECT_THAT(Read(), ElementsAre("+0 100#", "+0 101#"));
  EXPECT_THAT(ReadAfter(absl::Hours(1)), ElementsAre("+3600000 102#"));
  EXPECT_THAT(ReadAfter(absl::Milliseconds(100)), ElementsAre("+3600100 103#"));
}

TEST_F(ReplayBusTest, CountsBadLinesAndNamesTheFirst) {
  const std::string log = absl::StrCat("# a comment\n\n(5.0) can0 100#\n(5.0) can0 10#\n(5.0)\n(",
                                       std::string(200'000, '1'), "\n(5.0) can0 101#1");
  ASSERT_TRUE(Open(log + "1").ok());
  EXPECT_THAT(Read(), ElementsAre("+0 100#", "+0 101#11")) << "the last line may lack its newline";
  EXPECT_EQ(bus_->report().malformed, 3u);
  EXPECT_THAT(bus_->report().problem, HasSubstr("the log is over; unreadable lines: 3, the first: line 4: \"10#\""));
}

TEST_F(ReplayBusTest, CountsBadLinesOfALoopOnce) {
  ASSERT_TRUE(Open("(5.0) can0 100#\n(5.0) can0 10#\n", {.loop = true}).ok());
  Read();
  EXPECT_THAT(ReadAfter(absl::Milliseconds(10)), SizeIs(10));
  EXPECT_EQ(bus_->report().malformed, 1u);
}

// Chunks of the file end wherever they end.
TEST_F(ReplayBusTest, ReadsLongLogsWhole) {
  std::string log;
  for (int i = 0; i < 20'000; ++i)
    absl::StrAppend(&log, "(5.", i % 7, ") can0 ", absl::Hex(i, absl::kZeroPad8), "#", i % 2 == 0 ? "" : "AABBCC",
                    "\n");
  ASSERT_TRUE(Open(log, {.speed = 0}).ok());
  std::vector<CanFrame> frames;
  while (bus_->report().up) bus_->Read(absl::ZeroDuration(), frames);
  ASSERT_THAT(frames, SizeIs(20'000));
  for (uint32_t i = 0; i < frames.size(); ++i) {
    ASSERT_EQ(frames[i].id, i);
    ASSERT_EQ(frames[i].size, i % 2 == 0 ? 0 : 3);
  }
  EXPECT_EQ(bus_->report().malformed, 0u);
}

TEST_F(ReplayBusTest, RefusesWhatIsNoLog) {
  EXPECT_EQ(OpenReplayBus({.path = dir_.File("none.log")}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenReplayBus({.path = dir_.path()}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Open("").code(), absl::StatusCode::kInvalidArgument);
  const absl::Status asc = Open("date Fri Jul 10 06:17:32 2015\n(x)\n");
  EXPECT_EQ(asc.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(asc.message()), AllOf(HasSubstr("drive.log is no log of candump"), HasSubstr("line 2")));
}

TEST_F(ReplayBusTest, RefusesSpeedsThatMeanNothing) {
  for (const double speed : {-1.0, 1e-4, 1e4, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(Open(kThree, {.speed = speed}).code(), absl::StatusCode::kInvalidArgument) << speed;
  }
}

}  // namespace
}  // namespace fleet
