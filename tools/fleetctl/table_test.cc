#include "tools/fleetctl/table.h"

#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace fleet {
namespace {

Table People() {
  Table table({{"NAME"}, {"AGE", Table::Align::kRight}, {"NOTE"}});
  table.Add({{"Ada"}, {"36"}, {"first"}});
  table.Add({{"J\xC3\xBCrgen"}, {"7"}, {""}});
  return table;
}

TEST(Table, AlignsColumnsByCharactersAndLeavesNoSpaceAtTheEnd) {
  EXPECT_EQ(People().Render({}),
            "NAME    AGE  NOTE\n"
            "Ada      36  first\n"
            "J\xC3\xBCrgen    7\n");
}

TEST(Table, CutsLinesToTheWidth) {
  EXPECT_EQ(People().Render({.width = 17}),
            "NAME    AGE  NOTE\n"
            "Ada      36  fi..\n"
            "J\xC3\xBCrgen    7\n");
}

TEST(Table, OfAnyWidthNeverPassesIt) {
  for (int width = 1; width < 25; ++width) {
    for (absl::string_view line : absl::StrSplit(People().Render({.width = width}), '\n')) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
}

TEST(Table, ColoursOnlyWhenAsked) {
  Table table({{"STATE"}});
  table.Add({{"online", Colour::kGreen}});
  EXPECT_EQ(table.Render({}), "STATE\nonline\n");
  EXPECT_EQ(table.Render({.colour = true}), "\x1b[1mSTATE\x1b[0m\n\x1b[32monline\x1b[0m\n");
}

TEST(Table, ColoursDoNotCountAsWidth) {
  Table table({{"STATE"}, {"WHY"}});
  table.Add({{"online", Colour::kGreen}, {"since noon"}});
  EXPECT_EQ(table.Render({.width = 14, .colour = true}),
            "\x1b[1mSTATE\x1b[0m   \x1b[1mWHY\x1b[0m\n\x1b[32monline\x1b[0m  sinc..\n");
}

TEST(Table, ShowsNoControlCharacters) {
  Table table({{"A"}});
  table.Add({{"x\x1b[2Jy\nz"}});
  EXPECT_EQ(table.Render({}), "A\nx?[2Jy?z\n");
}

TEST(CutTo, KeepsWholeCharacters) {
  EXPECT_EQ(CutTo("\xC3\xBC\xC3\xBC\xC3\xBC", 2), "\xC3\xBC\xC3\xBC");
  EXPECT_EQ(CutTo("abcdefgh", 6), "abcd..");
  EXPECT_EQ(CutTo("abc", 3), "abc");
}

}  // namespace
}  // namespace fleet
