#include "common/segment_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleet {
namespace {

using ::testing::HasSubstr;

TEST(SegmentNames, EveryTypeHasANameThatReadsBack) {
  int types = 0;
  for (int type = v1::SegmentType_MIN; type <= v1::SegmentType_MAX; ++type) {
    if (!v1::SegmentType_IsValid(type) || type == v1::SEGMENT_TYPE_UNSPECIFIED) continue;
    ++types;
    const absl::string_view name = Name(static_cast<v1::SegmentType>(type));
    EXPECT_EQ(ParseSegmentType(name), static_cast<v1::SegmentType>(type)) << std::string(name);
    EXPECT_THAT(SegmentTypeNames(), HasSubstr(std::string(name)));
  }
  EXPECT_EQ(types, 4);
}

TEST(SegmentNames, AreTheWordsOfTheContract) {
  EXPECT_EQ(Name(v1::SEGMENT_TYPE_LINE), "line");
  EXPECT_EQ(Name(v1::SEGMENT_TYPE_ARC_LEFT), "arc_left");
  EXPECT_EQ(Name(v1::SEGMENT_TYPE_ARC_RIGHT), "arc_right");
  EXPECT_EQ(Name(v1::SEGMENT_TYPE_HOLD), "hold");
}

TEST(SegmentNames, WhatIsNoneOfThemIsNone) {
  for (const char* name : {"", "LINE", "unspecified", "arc", "line "}) {
    EXPECT_EQ(ParseSegmentType(name), std::nullopt) << name;
  }
  EXPECT_EQ(Name(v1::SEGMENT_TYPE_UNSPECIFIED), "unspecified");
  EXPECT_EQ(Name(static_cast<v1::SegmentType>(99)), "unspecified") << "a newer peer may say it";
  EXPECT_EQ(Name(static_cast<v1::SegmentType>(-1)), "unspecified");
}

}  // namespace
}  // namespace fleet
