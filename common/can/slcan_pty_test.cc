#include "common/can/slcan_pty.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/can/slcan_bus.h"
#include "common/can/testing/read_until.h"
#include "common/can/testing/serial_end.h"
#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using testing::HasSubstr;

CanFrame Frame(uint32_t id, uint8_t flags = 0) {
  return {.id = id, .flags = flags, .size = 2, .data = {0xAA, 0xBB}};
}

class SlcanTerminal : public testing::Test {
 protected:
  void Open(SlcanPtyOptions options = {}) {
    absl::StatusOr<std::unique_ptr<SlcanPty>> pty = OpenSlcanPty(options);
    ASSERT_TRUE(pty.ok()) << pty.status();
    pty_ = *std::move(pty);
  }
  void Connect() { program_.emplace(SerialEnd::Program(pty_->path())); }
  // Says `line` and hears `answer`.
  bool Talk(const std::string& line, const std::string& answer) {
    program_->Forget();
    return program_->Say(line) && ReadUntil(*pty_, frames_, [&] { return program_->Hear() == answer; });
  }
  bool IsUp(bool up) {
    return ReadUntil(*pty_, frames_, [&] { return pty_->report().up == up; });
  }

  TempDir dir_;
  std::unique_ptr<SlcanPty> pty_;
  std::optional<SerialEnd> program_;
  std::vector<CanFrame> frames_;
};

TEST_F(SlcanTerminal, IsUpWhileAProgramHasOpenedTheChannel) {
  Open();
  EXPECT_FALSE(pty_->report().up);
  EXPECT_THAT(pty_->report().problem, HasSubstr(pty_->path()));
  Connect();
  ASSERT_TRUE(Talk("C\rS6\rO\r", "\a\r\r")) << "a closed channel cannot be closed";
  EXPECT_TRUE(pty_->report().up);
  ASSERT_TRUE(Talk("C\r", "\r"));
  EXPECT_FALSE(pty_->report().up);
}

TEST_F(SlcanTerminal, FramesGoBothWays) {
  Open();
  Connect();
  ASSERT_TRUE(Talk("O\r", "\r"));
  ASSERT_TRUE(Talk("t1232AABB\rT000001232AABB\r", "z\rZ\r"));
  ASSERT_EQ(frames_.size(), 2u);
  EXPECT_TRUE(frames_[0] == Frame(0x123));
  EXPECT_TRUE(frames_[1] == Frame(0x123, kCanExtended));
  EXPECT_GT(frames_[0].at_unix_us, 0);
  program_->Forget();
  ASSERT_TRUE(pty_->Write(Frame(0x7FF)).ok());
  EXPECT_EQ(program_->Hear(), "t7FF2AABB\r");
}

TEST_F(SlcanTerminal, NothingIsSentToAProgramThatHasNotOpenedTheChannel) {
  Open();
  EXPECT_EQ(pty_->Write(Frame(0x123)).code(), absl::StatusCode::kUnavailable);
  Connect();
  ASSERT_TRUE(Talk("S6\r", "\r"));
  EXPECT_EQ(pty_->Write(Frame(0x123)).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(Talk("O\r", "\r"));
  EXPECT_TRUE(pty_->Write(Frame(0x123)).ok());
}

TEST_F(SlcanTerminal, RefusesWhatSlcanCannotCarryAndWhatIsNotAllowed) {
  Open();
  Connect();
  ASSERT_TRUE(Talk("O\r", "\r"));
  EXPECT_EQ(pty_->Write(Frame(0x123, kCanFd)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(pty_->Write(Frame(0x4, kCanError)).code(), absl::StatusCode::kInvalidArgument);
  program_.reset();
  Open({.link_path = "", .listen_only = true});
  EXPECT_EQ(pty_->Write(Frame(0x123)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SlcanTerminal, AProgramThatDiesLeavesNothingToTheNextOne) {
  Open();
  Connect();
  ASSERT_TRUE(Talk("Z1\rO\r", "\r\r"));
  ASSERT_TRUE(pty_->Write(Frame(0x123)).ok());
  ASSERT_TRUE(program_->Say("t12"));
  program_->Close();
  ASSERT_TRUE(IsUp(false));
  Connect();
  EXPECT_EQ(program_->Hear(), "") << "the frame was for the one before";
  ASSERT_TRUE(Talk("O\r", "\r"));
  ASSERT_TRUE(pty_->Write(Frame(0x123)).ok());
  EXPECT_EQ(program_->Hear(), "\rt1232AABB\r") << "without a stamp";
  EXPECT_EQ(pty_->report().malformed, 0u);
}

TEST_F(SlcanTerminal, GarbageIsRefusedAndCounted) {
  Open();
  Connect();
  ASSERT_TRUE(Talk("O\r", "\r"));
  ASSERT_TRUE(Talk("hello\r" + std::string(100, 'x') + "\rt12\r\at1230\r", "\a\a\az\r"));
  EXPECT_EQ(pty_->report().malformed, 4u);
  EXPECT_EQ(frames_.size(), 1u);
}

TEST_F(SlcanTerminal, AProgramThatReadsNothingIsStillHeard) {
  Open();
  Connect();
  size_t said = 0;
  ASSERT_TRUE(program_->Say("O\r"));
  while (said < 50'000) {
    if (program_->Say("t1230\r")) ++said;
    pty_->Read(absl::ZeroDuration(), frames_);
    if (said % 100 != 0) continue;
    ASSERT_TRUE(ReadUntil(*pty_, frames_, [&] { return frames_.size() == said; })) << said;
  }
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = pty_->Write(Frame(0x123));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(SlcanTerminal, ALinkLeadsToItAsLongAsItIsThere) {
  const std::string link = dir_.path() + "/tty";
  std::filesystem::create_symlink("/nowhere", link);  // of somebody who crashed
  Open({.link_path = link, .listen_only = false});
  EXPECT_EQ(std::filesystem::read_symlink(link), pty_->path());
  pty_.reset();
  EXPECT_FALSE(std::filesystem::is_symlink(link));
}

TEST_F(SlcanTerminal, ALinkThatCannotBeMadeIsAnError) {
  const std::string file = dir_.path() + "/file";
  std::ofstream(file) << "precious";
  EXPECT_EQ(OpenSlcanPty({.link_path = file}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(std::filesystem::is_regular_file(file));
  EXPECT_EQ(OpenSlcanPty({.link_path = "/nowhere/link"}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SlcanTerminal, OurOwnHostOpensItAndComesBackToIt) {
  const std::string link = dir_.path() + "/tty";
  Open({.link_path = link, .listen_only = false});
  absl::StatusOr<std::unique_ptr<CanBus>> host = OpenSlcanBus({.path = link});
  ASSERT_TRUE(host.ok());
  std::vector<CanFrame> heard;
  const auto both_up = [&] {
    (*host)->Read(absl::ZeroDuration(), heard);
    return (*host)->report().up && pty_->report().up;
  };
  ASSERT_TRUE(ReadUntil(*pty_, frames_, both_up));
  pty_.reset();
  ASSERT_TRUE(ReadUntil(**host, heard, [&] { return !(*host)->report().up; }));
  Open({.link_path = link, .listen_only = false});
  ASSERT_TRUE(ReadUntil(*pty_, frames_, both_up));
  ASSERT_TRUE((*host)->Write(Frame(0x123)).ok());
  ASSERT_TRUE(ReadUntil(*pty_, frames_, [&] { return frames_.size() == 1; }));
  EXPECT_TRUE(frames_[0] == Frame(0x123));
}

}  // namespace
}  // namespace fleet
