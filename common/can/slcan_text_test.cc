#include "common/can/slcan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/can/slcan_adapter.h"

namespace fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

CanFrame Frame(uint32_t id, uint8_t flags, std::vector<uint8_t> data) {
  CanFrame frame{.id = id, .flags = flags, .size = static_cast<uint8_t>(data.size())};
  std::copy(data.begin(), data.end(), frame.data.begin());
  return frame;
}

std::string Text(const CanFrame& frame) {
  std::string text;
  AppendSlcanFrame(frame, text);
  return text;
}

// The lines are those of the examples in Lawicel's CAN232 manual, version 3, commands t and T; of r and R those of
// python-can's slcan interface.
TEST(SlcanText, FramesOfAllKindsHaveTheirLine) {
  const std::vector<std::pair<CanFrame, std::string>> frames = {
      {Frame(0x100, 0, {}), "t1000"},
      {Frame(0x7FF, 0, {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}), "t7FF81122334455667788"},
      {Frame(0x001, 0, {0x0A}), "t00110A"},
      {Frame(0x100, kCanExtended, {0x11, 0x33}), "T0000010021133"},
      {Frame(0x1FFFFFFF, kCanExtended, {}), "T1FFFFFFF0"},
      {CanFrame{.id = 0x123, .flags = kCanRemote, .size = 4}, "r1234"},
      {CanFrame{.id = 0x18DAF110, .flags = kCanExtended | kCanRemote, .size = 8}, "R18DAF1108"},
  };
  for (const auto& [frame, line] : frames) {
    EXPECT_EQ(Text(frame), line);
    const std::optional<CanFrame> parsed = ParseSlcanFrame(line);
    ASSERT_TRUE(parsed.has_value()) << line;
    EXPECT_TRUE(*parsed == frame) << line;
    EXPECT_TRUE(ParseSlcanFrame(line + "EA5F") == frame) << "with the stamp of the last millisecond of a minute";
  }
}

TEST(SlcanText, SmallLettersAreDigitsToo) {
  EXPECT_TRUE(ParseSlcanFrame("t7ff2abcd") == Frame(0x7FF, 0, {0xAB, 0xCD}));
}

TEST(SlcanText, WhatIsNoFrameIsNone) {
  for (const char* line :
       {"",          "t",           "t12",        "t123",      "t1239",      "t123A",           "t12 0",   "t-120",
        "t8000",     "t1231",       "t12311",     "t12311122", "t123111223", "t12311122334455", "t1231GG", "t1231 1",
        "T12345678", "T2000000000", "T123456789", "r1239",     "r123411",    "R123456784112",   "x1230",   "z",
        "\r",        "t1230EA5",    "t1230EA5G",  "t1230EA5F0"}) {
    EXPECT_FALSE(ParseSlcanFrame(line).has_value()) << line;
  }
}

TEST(SlcanText, BitRatesAreThoseOfTheManual) {
  EXPECT_EQ(SlcanSpeed(10'000), '0');
  EXPECT_EQ(SlcanSpeed(125'000), '4');
  EXPECT_EQ(SlcanSpeed(500'000), '6');
  EXPECT_EQ(SlcanSpeed(800'000), '7');
  EXPECT_EQ(SlcanSpeed(1'000'000), '8');
  EXPECT_EQ(SlcanSpeed(750'000), std::nullopt);
  EXPECT_EQ(SlcanSpeed(0), std::nullopt);
}

TEST(SlcanText, StampIsTheMillisecondOfTheMinute) {
  const auto stamp = [](int64_t at_unix_us) {
    std::string text;
    AppendSlcanStamp(at_unix_us, text);
    return text;
  };
  EXPECT_EQ(stamp(0), "0000");
  EXPECT_EQ(stamp(59'999'999), "EA5F");
  EXPECT_EQ(stamp(60'000'000), "0000");
  EXPECT_EQ(stamp(-1'000), "EA5F");
}

std::vector<std::pair<std::string, bool>> Split(SlcanSplitter& splitter, absl::string_view bytes) {
  std::vector<std::pair<std::string, bool>> lines;
  splitter.Feed(bytes, [&](absl::string_view text, bool refused) { lines.emplace_back(std::string(text), refused); });
  return lines;
}

TEST(SlcanSplitter, LinesEndWithCrOrBelAndMayComeInPieces) {
  SlcanSplitter splitter;
  EXPECT_THAT(Split(splitter, "\rt12"), ElementsAre(Pair("", false)));
  EXPECT_THAT(Split(splitter, "30"), IsEmpty());
  EXPECT_THAT(Split(splitter, "\r\az\r"), ElementsAre(Pair("t1230", false), Pair("", true), Pair("z", false)));
  EXPECT_THAT(Split(splitter, "\nV1013\r\nN"), ElementsAre(Pair("V1013", false)));
}

TEST(SlcanSplitter, TheLongestFrameFitsAndALongerLineIsCountedOnce) {
  SlcanSplitter splitter;
  const std::string longest = "T1FFFFFFF81122334455667788EA5F";
  ASSERT_EQ(longest.size(), kMaxSlcanLine);
  EXPECT_THAT(Split(splitter, longest + "\r"), ElementsAre(Pair(longest, false)));
  EXPECT_EQ(splitter.too_long(), 0u);
  EXPECT_THAT(Split(splitter, longest + std::string(10'000, 'x')), IsEmpty());
  EXPECT_THAT(Split(splitter, "still\rz\r"), ElementsAre(Pair("z", false)));
  EXPECT_EQ(splitter.too_long(), 1u);
}

TEST(SlcanSplitter, ResetForgetsTheBeginningOfALine) {
  SlcanSplitter splitter;
  Split(splitter, "t12");
  splitter.Reset();
  EXPECT_THAT(Split(splitter, "t1000\r"), ElementsAre(Pair("t1000", false)));
}

class SlcanAdapterSays : public testing::Test {
 protected:
  std::string Answer(absl::string_view line) {
    std::string answer;
    sent_ = adapter_.Hear(line, answer);
    return answer;
  }
  std::string Given(const CanFrame& frame) const {
    std::string line;
    adapter_.AppendFrame(frame, line);
    return line;
  }

  SlcanAdapter adapter_;
  std::optional<CanFrame> sent_;
};

TEST_F(SlcanAdapterSays, YesToWhatFitsItsState) {
  EXPECT_EQ(Answer("S6"), "\r");
  EXPECT_EQ(Answer("s031C"), "\r");
  EXPECT_EQ(Answer("O"), "\r");
  EXPECT_TRUE(adapter_.open());
  EXPECT_EQ(Answer("C"), "\r");
  EXPECT_FALSE(adapter_.open());
  EXPECT_EQ(adapter_.malformed(), 0u);
}

TEST_F(SlcanAdapterSays, NoToWhatDoesNot) {
  EXPECT_EQ(Answer("C"), "\a") << "it is not open";
  EXPECT_EQ(Answer("t1230"), "\a") << "it is not open";
  EXPECT_FALSE(sent_.has_value());
  Answer("O");
  EXPECT_EQ(Answer("O"), "\a");
  EXPECT_EQ(Answer("L"), "\a");
  EXPECT_EQ(Answer("S6"), "\a");
  EXPECT_EQ(Answer("Z1"), "\a");
  EXPECT_EQ(adapter_.malformed(), 0u) << "all of them are commands";
}

TEST_F(SlcanAdapterSays, FramesAreSentOnlyThroughAnOpenChannel) {
  Answer("O");
  EXPECT_EQ(Answer("t1232AABB"), "z\r");
  EXPECT_TRUE(sent_ == Frame(0x123, 0, {0xAA, 0xBB}));
  EXPECT_EQ(Answer("R000001230"), "Z\r");
  EXPECT_TRUE(sent_.has_value());
  Answer("C");
  Answer("L");
  EXPECT_TRUE(adapter_.open());
  EXPECT_EQ(Answer("t1230"), "\a") << "it only listens";
  EXPECT_FALSE(sent_.has_value());
}

TEST_F(SlcanAdapterSays, WhoItIs) {
  EXPECT_EQ(Answer("V"), "V1013\r");
  EXPECT_EQ(Answer("N"), "NFLT1\r");
  EXPECT_EQ(Answer("F"), "F00\r");
  EXPECT_EQ(Answer(""), "\r");
}

TEST_F(SlcanAdapterSays, NonsenseIsRefusedAndCounted) {
  uint64_t nonsense = 0;
  for (const char* line : {"S9", "S", "S66", "s03", "s03xy", "Z2", "Z", "OO", "x", "\x80", "t12", "V1", "\a"}) {
    EXPECT_EQ(Answer(line), "\a") << line;
    EXPECT_EQ(adapter_.malformed(), ++nonsense) << line;
  }
  EXPECT_FALSE(adapter_.open());
}

TEST_F(SlcanAdapterSays, FramesHaveAStampWhenItIsChosen) {
  CanFrame frame = Frame(0x123, 0, {0xAA});
  frame.at_unix_us = 1'001'000;
  EXPECT_EQ(Given(frame), "t1231AA\r");
  EXPECT_EQ(Answer("Z1"), "\r");
  EXPECT_EQ(Given(frame), "t1231AA03E9\r");
  EXPECT_EQ(Answer("Z0"), "\r");
  EXPECT_EQ(Given(frame), "t1231AA\r");
}

TEST_F(SlcanAdapterSays, NothingOfAProgramThatIsGone) {
  Answer("Z1");
  Answer("O");
  adapter_.Reset();
  EXPECT_FALSE(adapter_.open());
  EXPECT_EQ(Answer("t1230"), "\a");
  EXPECT_EQ(Given(Frame(0x123, 0, {})), "t1230\r");
}

}  // namespace
}  // namespace fleet
