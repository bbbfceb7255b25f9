#include "tools/fleetctl/csv.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

TEST(Csv, PlainFieldsAreAsTheyAre) {
  EXPECT_EQ(CsvLine({"", "a b", "P0133", ""}), ",a b,P0133,\n");
}

// RFC 4180, section 2.
TEST(Csv, WhatWouldEndAFieldIsQuoted) {
  EXPECT_EQ(CsvLine({"a,b", "say \"hi\"", "two\nlines"}), "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\n");
}

}  // namespace
}  // namespace fleet
