#include "common/nearest.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

const std::vector<std::string> kNames = {"motor/amps", "motor/rpm", "EngineSpeed"};

TEST(Nearest, MisspeltNameFindsTheOneThatWasMeant) {
  EXPECT_EQ(DidYouMean("engine_speed", kNames), "; did you mean EngineSpeed?");
  EXPECT_EQ(DidYouMean("EngineSped", kNames), "; did you mean EngineSpeed?");
}

TEST(Nearest, SwappedLettersAreOneMistake) {
  EXPECT_EQ(DidYouMean("motor/rmp", kNames), "; did you mean motor/rpm?");
}

TEST(Nearest, WhatIsNearToNothingMeansNothing) {
  EXPECT_EQ(DidYouMean("bus", kNames), "");
  EXPECT_EQ(DidYouMean("", kNames), "");
  EXPECT_EQ(DidYouMean("motor/rpm", {}), "");
}

TEST(Nearest, LongNonsenseCostsNothing) {
  EXPECT_EQ(DidYouMean(std::string(1'000'000, 'x'), kNames), "");
  EXPECT_EQ(DidYouMean("xx", {std::string(1'000'000, 'x')}), "");
}

}  // namespace
}  // namespace fleet
