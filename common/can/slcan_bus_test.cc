#include "common/can/slcan_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/can/testing/read_until.h"
#include "common/can/testing/serial_end.h"
#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

CanFrame Frame(uint32_t id, uint8_t flags = 0) {
  return {.id = id, .flags = flags, .size = 2, .data = {0xAA, 0xBB}};
}

// A bus and the adapter that it opens, of which the test says what it answers.
class Slcan : public testing::Test {
 protected:
  void PlugIn() {
    adapter_.emplace(SerialEnd::Adapter());
    std::filesystem::remove(link_);
    std::filesystem::create_symlink(adapter_->path(), link_);
  }
  void Open(bool listen_only = false, uint32_t bitrate = 500'000) {
    absl::StatusOr<std::unique_ptr<CanBus>> bus =
        OpenSlcanBus({.path = link_, .bitrate = bitrate, .listen_only = listen_only});
    ASSERT_TRUE(bus.ok()) << bus.status();
    bus_ = *std::move(bus);
  }
  // Until the adapter has been told all of `commands`, and nothing else.
  bool IsTold(const std::string& commands) {
    return ReadUntil(*bus_, frames_, [&] { return adapter_->Hear() == commands; });
  }
  bool IsUp() {
    return ReadUntil(*bus_, frames_, [&] { return bus_->report().up; });
  }
  bool HasProblem(const std::string& problem) {
    return ReadUntil(*bus_, frames_, [&] { return absl::StrContains(bus_->report().problem, problem); });
  }
  bool HasFrames(size_t count) {
    return ReadUntil(*bus_, frames_, [&] { return frames_.size() >= count; });
  }
  void OpenUp(bool listen_only = false) {
    PlugIn();
    Open(listen_only);
    ASSERT_TRUE(IsTold("\r\rC\rS6\r"));
    adapter_->Say("\r");
    ASSERT_TRUE(IsTold(listen_only ? "\r\rC\rS6\rL\r" : "\r\rC\rS6\rO\r"));
    adapter_->Say("\r");
    ASSERT_TRUE(IsUp());
    adapter_->Forget();
  }

  TempDir dir_;
  const std::string link_ = dir_.path() + "/tty";
  std::optional<SerialEnd> adapter_;
  std::unique_ptr<CanBus> bus_;
  std::vector<CanFrame> frames_;
};

TEST_F(Slcan, IsUpOnceTheAdapterAgreedToBitRateAndOpening) {
  PlugIn();
  Open(false, 125'000);
  EXPECT_FALSE(bus_->report().up);
  EXPECT_NE(bus_->report().problem, "");
  ASSERT_TRUE(IsTold("\r\rC\r"));
  adapter_->Say("\r\a");  // answers to what came before belong to nobody
  ASSERT_TRUE(IsTold("\r\rC\rS4\r"));
  adapter_->Say("\r");
  ASSERT_TRUE(IsTold("\r\rC\rS4\rO\r"));
  EXPECT_FALSE(bus_->report().up);
  EXPECT_EQ(bus_->Write(Frame(0x123)).code(), absl::StatusCode::kUnavailable);
  adapter_->Say("\r");
  ASSERT_TRUE(IsUp());
  EXPECT_EQ(bus_->report().problem, "");
}

TEST_F(Slcan, RefusesABitRateThatSlcanHasNot) {
  const absl::Status status = OpenSlcanBus({.path = "/dev/null", .bitrate = 83'333}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("83333"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("250000"));
}

TEST_F(Slcan, SaysWhatTheAdapterRefusesAndTriesAgain) {
  PlugIn();
  Open();
  ASSERT_TRUE(IsTold("\r\rC\rS6\r"));
  adapter_->Say("\a");
  EXPECT_TRUE(HasProblem("no bit rate of 500000"));
  adapter_->Forget();
  ASSERT_TRUE(IsTold("\r\rC\rS6\r"));
  adapter_->Say("\r");
  ASSERT_TRUE(IsTold("\r\rC\rS6\rO\r"));
  adapter_->Say("\a");
  EXPECT_TRUE(HasProblem("refuses to open"));
}

TEST_F(Slcan, AnAdapterThatNeverAnswersIsTakenToObey) {
  PlugIn();
  Open();
  ASSERT_TRUE(IsTold("\r\rC\rS6\rO\r"));
  EXPECT_TRUE(IsUp());
}

TEST_F(Slcan, ThatItOnlyListensMustBeCertain) {
  PlugIn();
  Open(true);
  ASSERT_TRUE(IsTold("\r\rC\rS6\rL\r"));
  adapter_->Say("t1230\r");  // it may have been open before, and obeyed nothing
  EXPECT_TRUE(HasProblem("does not confirm that it only listens"));
  EXPECT_FALSE(bus_->report().up);
  EXPECT_EQ(frames_.size(), 0u);
}

TEST_F(Slcan, AFrameProvesThatTheChannelIsOpen) {
  PlugIn();
  Open();
  ASSERT_TRUE(IsTold("\r\rC\rS6\rO\r"));
  adapter_->Say("t1232AABB\r");
  ASSERT_TRUE(HasFrames(1));
  EXPECT_TRUE(bus_->report().up);
  EXPECT_TRUE(frames_[0] == Frame(0x123));
}

TEST_F(Slcan, ReadsFramesInOrderWithTheTimeOfNow) {
  OpenUp();
  const int64_t before = absl::ToUnixMicros(SystemClock().Read().wall);
  adapter_->Say("t1232AA");
  bus_->Read(absl::ZeroDuration(), frames_);
  adapter_->Say("BB\rT000001232AABB03E9\rr1235\r");
  ASSERT_TRUE(HasFrames(3));
  const int64_t after = absl::ToUnixMicros(SystemClock().Read().wall);
  EXPECT_TRUE(frames_[0] == Frame(0x123));
  EXPECT_TRUE(frames_[1] == Frame(0x123, kCanExtended));
  EXPECT_TRUE(frames_[2] == (CanFrame{.id = 0x123, .flags = kCanRemote, .size = 5}));
  for (const CanFrame& frame : frames_) {
    EXPECT_GE(frame.at_unix_us, before);
    EXPECT_LE(frame.at_unix_us, after);
  }
}

TEST_F(Slcan, ReadsNoMoreAtOnceThanIsPromised) {
  OpenUp();
  std::string lines;
  for (int i = 0; i < 600; ++i) lines += "t1230\r";
  ASSERT_TRUE(adapter_->Say(lines));
  while (frames_.size() < 600) {
    const size_t before = frames_.size();
    bus_->Read(absl::Seconds(10), frames_);
    ASSERT_GT(frames_.size(), before);
    ASSERT_LE(frames_.size(), before + CanBus::kMaxRead);
  }
}

TEST_F(Slcan, WritesFramesAndTakesBothKindsOfYes) {
  OpenUp();
  EXPECT_TRUE(bus_->Write(Frame(0x123)).ok());
  EXPECT_TRUE(bus_->Write(Frame(0x123, kCanExtended)).ok());
  ASSERT_TRUE(IsTold("t1232AABB\rT000001232AABB\r"));
  adapter_->Say("z\rZ\r\rt7FF0\r");
  ASSERT_TRUE(HasFrames(1));
  EXPECT_EQ(bus_->report().malformed, 0u);
  EXPECT_EQ(frames_.size(), 1u);
}

TEST_F(Slcan, RefusesWhatSlcanCannotCarry) {
  OpenUp();
  EXPECT_EQ(bus_->Write(Frame(0x123, kCanFd)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bus_->Write(Frame(0x4, kCanError)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(adapter_->Hear(), "");
}

TEST_F(Slcan, ListenOnlyOpensWithLAndNeverSends) {
  OpenUp(true);
  EXPECT_EQ(bus_->Write(Frame(0x123)).code(), absl::StatusCode::kFailedPrecondition);
  adapter_->Say("t1230\r");
  ASSERT_TRUE(HasFrames(1));
  EXPECT_EQ(adapter_->Hear(), "");
}

TEST_F(Slcan, GarbageIsCountedAndWhatFollowsIsRead) {
  OpenUp();
  adapter_->Say(absl::StrCat("hello\rt12\r", absl::string_view("\0\xff\r", 3), std::string(100, 'x'), "\rt1230\r"));
  ASSERT_TRUE(HasFrames(1));
  EXPECT_TRUE(frames_[0] == (CanFrame{.id = 0x123}));
  EXPECT_EQ(bus_->report().malformed, 4u);
  EXPECT_TRUE(bus_->report().up);
}

// 4 and 2 in the second byte are CAN_ERR_CRTL and CAN_ERR_CRTL_TX_OVERFLOW of linux/can/error.h.
TEST_F(Slcan, AFrameThatTheAdapterRefusesComesBackAsAnError) {
  OpenUp();
  ASSERT_TRUE(bus_->Write(Frame(0x123)).ok());
  adapter_->Say("\a");
  ASSERT_TRUE(HasFrames(1));
  EXPECT_TRUE(frames_[0] == (CanFrame{.id = 4, .flags = kCanError, .size = 8, .data = {0, 2}}));
  EXPECT_EQ(bus_->report().error_frames, 1u);
  EXPECT_TRUE(bus_->report().up);
}

TEST_F(Slcan, AnAdapterThatTakesNothingMakesWriteUnavailableAndNotSlow) {
  OpenUp();
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = bus_->Write(Frame(0x123));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  const MonoTime before = SystemClock().Read().mono;
  EXPECT_EQ(bus_->Write(Frame(0x456)).code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(SystemClock().Read().mono - before, absl::Seconds(1)) << "20 ms, on a machine that has time";
  ASSERT_TRUE(ReadUntil(*bus_, frames_, [&] {
    adapter_->Forget();
    return adapter_->Hear().empty();
  }));
  ASSERT_TRUE(bus_->Write(Frame(0x789)).ok());
  EXPECT_TRUE(ReadUntil(*bus_, frames_, [&] { return absl::EndsWith(adapter_->Hear(), "t7892AABB\r"); }))
      << "no line was cut";
  EXPECT_THAT(adapter_->Hear(), Not(HasSubstr("456")));
}

TEST_F(Slcan, AnUnpluggedAdapterIsAStateAndComesBack) {
  OpenUp();
  adapter_->Say("t12");
  bus_->Read(absl::ZeroDuration(), frames_);
  adapter_->Close();
  bus_->Read(absl::Seconds(10), frames_);
  EXPECT_FALSE(bus_->report().up);
  EXPECT_THAT(bus_->report().problem, HasSubstr("unplugged"));
  EXPECT_EQ(bus_->Write(Frame(0x123)).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(HasProblem("No such file"));
  OpenUp();
  adapter_->Say("t1230\r");
  ASSERT_TRUE(HasFrames(1));
  EXPECT_EQ(bus_->report().malformed, 0u) << "the line that was cut is forgotten";
}

TEST_F(Slcan, WriteNoticesAnUnpluggedAdapterBeforeReadDoes) {
  OpenUp();
  adapter_->Close();
  EXPECT_EQ(bus_->Write(Frame(0x123)).code(), absl::StatusCode::kUnavailable);
}

TEST_F(Slcan, WhatIsNoSerialLineIsToldAndNotTouched) {
  std::ofstream(link_) << "precious";
  Open();
  EXPECT_TRUE(HasProblem("no serial line"));
  std::string content;
  std::ifstream(link_) >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(Slcan, TwoProgramsDoNotShareAnAdapter) {
  PlugIn();
  const SerialEnd other = SerialEnd::Program(link_);
  ASSERT_EQ(flock(other.fd(), LOCK_EX | LOCK_NB), 0);
  Open();
  EXPECT_TRUE(HasProblem("another program"));
  EXPECT_EQ(adapter_->Hear(), "");
}

TEST_F(Slcan, LeavesTheAdapterClosed) {
  OpenUp();
  bus_.reset();
  EXPECT_THAT(adapter_->Hear(), EndsWith("C\r"));
}

}  // namespace
}  // namespace fleet
