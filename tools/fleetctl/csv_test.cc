#include "tools/fleetctl/csv.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

TEST(Csv, PlainFieldsAreAsTheyAre) {
  EXPECT_EQ(CsvLine({"", "a b", "P0133", ""}), ",a b,P0133,\n");
}

// RFC 4180, section 2.
TEST(Csv, WhatWouldEndAFieldIsQuoted) {
  EXPECT_EQ(CsvLine({"a,b", "say \"hi\""}), "\"a,b\",\"say \"\"hi\"\"\"\n");
}

TEST(Csv, NoFieldDrivesATerminalOrEndsALine) {
  EXPECT_EQ(CsvLine({"two\r\nlines", "\x1b[2J", "\t=1+1"}), "two??lines,?[2J,?=1+1\n");
}

TEST(Csv, NoTextIsTakenForAFormula) {
  EXPECT_EQ(CsvLine({"=1+1", "+a/b", "-a/b", "@SUM(A1)", "a=b"}), "'=1+1,'+a/b,'-a/b,'@SUM(A1),a=b\n");
  EXPECT_EQ(CsvField("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
}

TEST(Csv, NumbersStayNumbers) {
  EXPECT_EQ(CsvLine({"-40", "+1.5", "-1e+30", "-"}), "-40,+1.5,-1e+30,'-\n");
}

}  // namespace
}  // namespace fleet
