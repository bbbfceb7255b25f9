#include "common/can/can_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleet {
namespace {

using testing::HasSubstr;

CanFrame Frame(uint32_t id, int flags = 0) {
  CanFrame frame;
  frame.id = id;
  frame.flags = static_cast<uint8_t>(flags);
  return frame;
}

bool Passes(absl::string_view filter, const CanFrame& frame) {
  return fleet::Passes(ParseCanFilter(filter).value(), frame);
}

std::string Problem(absl::string_view text) {
  const absl::Status status = ParseCanFilter(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(status.message());
}

TEST(CanFilter, IsWrittenAsItIsRead) {
  for (const char* text : {"123:7FF", "000:000", "7FF:700", "18FEF100:1FFFFF00", "00000000:00000000"}) {
    EXPECT_EQ(CanFilterText(ParseCanFilter(text).value()), text);
  }
  EXPECT_EQ(CanFilterText(ParseCanFilter("7:7f").value()), "007:07F");
}

TEST(CanFilter, WithoutAMaskIsOneId) {
  EXPECT_EQ(CanFilterText(ParseCanFilter("123").value()), "123:7FF");
  EXPECT_EQ(CanFilterText(ParseCanFilter("00000123").value()), "00000123:1FFFFFFF");
}

TEST(CanFilter, PassesWhatIsEqualUnderTheMask) {
  EXPECT_TRUE(Passes("7E8:7F8", Frame(0x7EF)));
  EXPECT_FALSE(Passes("7E8:7F8", Frame(0x7E0)));
  EXPECT_TRUE(Passes("7EF:7F8", Frame(0x7E8))) << "bits of the id outside of the mask count as well";
  EXPECT_TRUE(Passes("18FEF100:1FFFFF00", Frame(0x18FEF1AB, kCanExtended)));
}

// Unlike candump, where 123:7FF passes the extended 00000123 as well.
TEST(CanFilter, PassesOneFormatOnly) {
  EXPECT_TRUE(Passes("0:0", Frame(0x7FF)));
  EXPECT_FALSE(Passes("0:0", Frame(0x7FF, kCanExtended)));
  EXPECT_TRUE(Passes("00000000:0", Frame(0x7FF, kCanExtended)));
  EXPECT_FALSE(Passes("00000123", Frame(0x123)));
  EXPECT_TRUE(Passes("123", Frame(0x123, kCanRemote))) << "remote frames have no format of their own";
}

TEST(CanFilter, ErrorFramesPassOnlyWhereThereIsNoFilter) {
  const CanFrame error = Frame(4, kCanError);
  EXPECT_FALSE(Passes("0:0", error));
  EXPECT_FALSE(Passes("00000000:0", error));
  EXPECT_TRUE(PassesAny({}, error));
}

TEST(CanFilter, AnyOfSeveralIsEnough) {
  google::protobuf::RepeatedPtrField<v1::CanFilter> filters;
  EXPECT_TRUE(PassesAny(filters, Frame(0x123)));
  *filters.Add() = ParseCanFilter("100").value();
  *filters.Add() = ParseCanFilter("200:700").value();
  EXPECT_TRUE(PassesAny(filters, Frame(0x100)));
  EXPECT_TRUE(PassesAny(filters, Frame(0x2AB)));
  EXPECT_FALSE(PassesAny(filters, Frame(0x123)));
}

TEST(CanFilter, SaysWhatIsWrong) {
  EXPECT_THAT(Problem(""), HasSubstr("id:mask in hexadecimal"));
  EXPECT_THAT(Problem("1234:7FF"), HasSubstr("up to 3 digits, or 8"));
  EXPECT_THAT(Problem("123456789"), HasSubstr("up to 3 digits, or 8"));
  EXPECT_THAT(Problem("123~7FF"), HasSubstr("id:mask in hexadecimal"));
  EXPECT_THAT(Problem("0x1"), HasSubstr("id:mask in hexadecimal"));
  EXPECT_THAT(Problem("123:"), HasSubstr("the mask is not 1 to 8"));
  EXPECT_THAT(Problem("123:7FG"), HasSubstr("the mask is not 1 to 8"));
  EXPECT_THAT(Problem("800"), HasSubstr("id 800 of a filter is above 7ff"));
  EXPECT_THAT(Problem("123:C00007FF"), HasSubstr("mask c00007ff of a filter is above 7ff"));
  EXPECT_THAT(Problem("20000000"), HasSubstr("id 20000000 of a filter is above 1fffffff"));
}

TEST(CanFilter, OnesFromElsewhereAreCheckedToo) {
  v1::CanFilter filter;
  filter.set_id(0x800);
  EXPECT_EQ(CheckCanFilter(filter).code(), absl::StatusCode::kInvalidArgument);
  filter.set_extended(true);
  EXPECT_TRUE(CheckCanFilter(filter).ok());
  filter.set_mask(0xFFFFFFFF);
  EXPECT_EQ(CheckCanFilter(filter).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fleet
