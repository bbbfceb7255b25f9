#include "common/can/can_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>
#include <vector>

#include "common/can/candump.h"

namespace fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CanFrame Frame(absl::string_view text, int64_t at_unix_us = 0) {
  CanFrame frame = ParseCanFrameText(text).value();
  frame.at_unix_us = at_unix_us;
  return frame;
}

v1::CanFrames Columns(const std::vector<CanFrame>& frames) {
  CanColumns columns;
  for (const CanFrame& frame : frames) columns.Add(frame);
  return columns.Take();
}

std::vector<CanFrame> Frames(const v1::CanFrames& columns) {
  std::vector<CanFrame> frames;
  const absl::Status status = ForEachFrame(columns, [&frames](const CanFrame& frame) { frames.push_back(frame); });
  EXPECT_TRUE(status.ok()) << status;
  return frames;
}

std::vector<CanFrame> OfAllKinds() {
  return {Frame("123#1122", 1'436'509'052'249'713),
          Frame("18FEF100#FFFFFF0000FFFFFF", 1'436'509'052'249'714),
          Frame("123#R8", 1'436'509'052'249'714),
          Frame("20000080#0000000000000000", 1'436'509'051'000'000),
          Frame("7FF##3" + std::string(128, 'A'), 1'436'509'053'000'000),
          Frame("000#", 1'436'509'053'000'001)};
}

TEST(CanColumns, GiveBackWhatWasAdded) {
  const std::vector<CanFrame> frames = OfAllKinds();
  const std::vector<CanFrame> back = Frames(Columns(frames));
  ASSERT_EQ(back, frames);
  for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(back[i].at_unix_us, frames[i].at_unix_us) << i;
}

TEST(CanColumns, AreLaidOutAsTheProtocolSays) {
  CanFrame sent = Frame("123#AABB", 10);
  sent.flags |= kCanSent;
  const v1::CanFrames columns = Columns({Frame("7E8#01", 7), sent, Frame("00000001#R2", 9)});
  EXPECT_EQ(columns.first_unix_us(), 7u);
  EXPECT_THAT(columns.id(), ElementsAre(0x7E8, 0x123, 1));
  EXPECT_THAT(columns.after_us(), ElementsAre(0, 3, -1));
  EXPECT_EQ(columns.flags(), std::string("\x00\x40\x03", 3));
  EXPECT_EQ(columns.size(), "\x01\x02\x02");
  EXPECT_EQ(columns.data(), "\x01\xAA\xBB");
}

TEST(CanColumns, AreEmptyAfterTake) {
  CanColumns columns;
  const size_t empty_bytes = columns.bytes();
  columns.Add(Frame("123#11", 500));
  EXPECT_EQ(columns.Take().id_size(), 1);
  EXPECT_TRUE(columns.empty());
  EXPECT_EQ(columns.bytes(), empty_bytes);
  columns.Add(Frame("123#11", 90));
  EXPECT_EQ(columns.Take().first_unix_us(), 90u) << "times begin anew";
}

// What is written on a full bus: wide ids, differences of all widths.
TEST(CanColumns, EstimateTheirBytesNeverTooSmallAndHardlyTooLarge) {
  CanColumns columns;
  int64_t at = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < 200; ++i) {
    CanFrame frame = OfAllKinds()[static_cast<size_t>(i) % OfAllKinds().size()];
    frame.at_unix_us = at;
    at = i % 3 == 0 ? at / 3 : at + 1;
    columns.Add(frame);
    const size_t estimate = columns.bytes();
    CanColumns copy = columns;
    const size_t bytes = copy.Take().ByteSizeLong();
    ASSERT_LE(bytes, estimate) << i;
    ASSERT_LE(estimate, bytes + 41) << i;
  }
}

TEST(CanColumns, TakeATimeBefore1970As1970) {
  const std::vector<CanFrame> back =
      Frames(Columns({Frame("123#", std::numeric_limits<int64_t>::min()), Frame("123#", 5)}));
  EXPECT_EQ(back.at(0).at_unix_us, 0);
  EXPECT_EQ(back.at(1).at_unix_us, 5);
}

TEST(CanColumns, NoFramesAreNoError) {
  EXPECT_TRUE(Frames({}).empty());
}

// Columns that were good, and what somebody did to them.
struct Damage {
  const char* what;
  void (*damage)(v1::CanFrames&);
  absl::StatusCode code;
  const char* message;
};

TEST(CanColumns, AreRefusedAsAWholeWhenTheyCannotBe) {
  constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  const std::vector<Damage> damages = {
      {"an id too many", [](v1::CanFrames& f) { f.add_id(1); }, kDataLoss, "3 ids, 2 times"},
      {"a time too many", [](v1::CanFrames& f) { f.add_after_us(1); }, kDataLoss, "3 times"},
      {"no flags", [](v1::CanFrames& f) { f.clear_flags(); }, kDataLoss, "0 flags"},
      {"no sizes", [](v1::CanFrames& f) { f.clear_size(); }, kDataLoss, "0 sizes"},
      {"data too short", [](v1::CanFrames& f) { f.mutable_data()->pop_back(); }, kDataLoss,
       "of 3 bytes together come with 2"},
      {"data too long", [](v1::CanFrames& f) { f.mutable_data()->push_back(0); }, kDataLoss, "come with 4"},
      {"a size that is none", [](v1::CanFrames& f) { (*f.mutable_size())[1] = 9; }, kInvalid, "CAN frame 1: 9 bytes"},
      {"the largest size", [](v1::CanFrames& f) { (*f.mutable_size())[1] = '\xFF'; }, kInvalid, "255 bytes"},
      {"an id too large", [](v1::CanFrames& f) { f.set_id(1, 0x800); }, kInvalid, "CAN frame 1: id 800"},
      {"flags that are none", [](v1::CanFrames& f) { (*f.mutable_flags())[0] = '\x80'; }, kInvalid,
       "CAN frame 0: flags"},
      {"a time over the end", [](v1::CanFrames& f) { f.set_after_us(1, std::numeric_limits<int64_t>::max()); },
       kInvalid, "time"},
      {"a time before 1970", [](v1::CanFrames& f) { f.set_after_us(1, -2000); }, kInvalid, "time"},
      {"a first time over the end", [](v1::CanFrames& f) { f.set_first_unix_us(uint64_t{1} << 63); }, kInvalid, "time"},
  };
  for (const auto& [what, damage, code, message] : damages) {
    v1::CanFrames columns = Columns({Frame("123#11", 1000), Frame("123#2233", 1001)});
    damage(columns);
    const absl::Status status = ForEachFrame(columns, [](const CanFrame&) { FAIL() << "was called"; });
    EXPECT_EQ(status.code(), code) << what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << what;
  }
}

}  // namespace
}  // namespace fleet
