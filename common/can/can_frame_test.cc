#include "common/can/can_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CanFrame Frame(uint32_t id, int flags, uint8_t size) {
  CanFrame frame;
  frame.id = id;
  frame.flags = static_cast<uint8_t>(flags);
  frame.size = size;
  return frame;
}

// "" if the frame is valid.
std::string Problem(const CanFrame& frame) {
  const absl::Status status = CheckCanFrame(frame);
  EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

std::vector<size_t> Sizes(bool fd) {
  std::vector<size_t> sizes;
  for (size_t size = 0; size <= 300; ++size) {
    if (IsCanSize(size, fd)) sizes.push_back(size);
  }
  return sizes;
}

// ISO 11898-1:2015, table of the data length code.
TEST(CanFrame, HasTheSizesThatDlcsHave) {
  EXPECT_THAT(Sizes(false), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(Sizes(true), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64));
}

TEST(CanFrame, IdsEndWithTheirFormat) {
  EXPECT_EQ(Problem(Frame(0x7FF, 0, 8)), "");
  EXPECT_EQ(Problem(Frame(0x800, 0, 8)), "id 800 is above 7ff");
  EXPECT_EQ(Problem(Frame(0x1FFFFFFF, kCanExtended, 8)), "");
  EXPECT_EQ(Problem(Frame(0x20000000, kCanExtended, 8)), "id 20000000 is above 1fffffff");
  EXPECT_EQ(Problem(Frame(0x1FFFFFFF, kCanError, 8)), "");
  EXPECT_EQ(Problem(Frame(0x20000000, kCanError, 8)), "id 20000000 is above 1fffffff");
}

TEST(CanFrame, RefusesSizesThatDoNotExist) {
  EXPECT_THAT(Problem(Frame(1, 0, 9)), HasSubstr("9 bytes"));
  EXPECT_THAT(Problem(Frame(1, kCanRemote, 9)), HasSubstr("9 bytes"));
  EXPECT_THAT(Problem(Frame(1, 0, 255)), HasSubstr("255 bytes"));
  EXPECT_THAT(Problem(Frame(1, kCanFd, 9)), HasSubstr("an FD frame has 0 to 8, 12"));
  EXPECT_EQ(Problem(Frame(1, kCanFd, 64)), "");
}

TEST(CanFrame, RefusesFlagsThatExcludeEachOther) {
  EXPECT_THAT(Problem(Frame(1, kCanBrs, 1)), HasSubstr("BRS"));
  EXPECT_THAT(Problem(Frame(1, kCanEsi, 1)), HasSubstr("ESI"));
  EXPECT_THAT(Problem(Frame(1, kCanFd | kCanRemote, 1)), HasSubstr("remote"));
  EXPECT_THAT(Problem(Frame(1, 128, 1)), HasSubstr("128"));
  for (const CanFlag flag : {kCanExtended, kCanRemote, kCanFd}) {
    EXPECT_THAT(Problem(Frame(1, kCanError | flag, 8)), HasSubstr("error frame")) << int{flag};
  }
  EXPECT_EQ(Problem(Frame(1, kCanFd | kCanBrs | kCanEsi | kCanExtended | kCanSent, 1)), "");
}

TEST(CanFrame, IsEqualWhateverItsTimeAndTheBytesBehindItsData) {
  CanFrame a = Frame(0x123, 0, 2);
  CanFrame b = a;
  b.at_unix_us = 5;
  b.data[2] = 1;
  EXPECT_EQ(a, b);
  b.data[1] = 1;
  EXPECT_FALSE(a == b);
  EXPECT_FALSE(a == Frame(0x124, 0, 2));
  EXPECT_FALSE(a == Frame(0x123, kCanExtended, 2));
  EXPECT_FALSE(a == Frame(0x123, 0, 1));
}

TEST(CanFrame, OfRemoteFramesTheSizeCountsAndNoData) {
  CanFrame a = Frame(0x123, kCanRemote, 8);
  CanFrame b = a;
  b.data[0] = 1;
  EXPECT_EQ(a, b);
  EXPECT_FALSE(a == Frame(0x123, kCanRemote, 7));
  EXPECT_TRUE(a.bytes().empty());
}

}  // namespace
}  // namespace fleet
