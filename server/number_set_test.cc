#include "server/number_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(NumberSet, NeighboursBecomeOneRange) {
  NumberSet set;
  EXPECT_EQ(set.Add({1, 10}), 10u);
  EXPECT_EQ(set.Add({21, 30}), 10u);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(1, 10), Pair(21, 30)));
  EXPECT_EQ(set.Add({11, 20}), 10u);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(1, 30)));
}

TEST(NumberSet, WhatIsThereIsNotNew) {
  NumberSet set;
  set.Add({5, 9});
  EXPECT_EQ(set.Add({5, 9}), 0u);
  EXPECT_EQ(set.Add({1, 12}), 7u);
  EXPECT_EQ(set.size(), 12u);
}

TEST(NumberSet, RemovingFromTheMiddleLeavesBothEnds) {
  NumberSet set;
  set.Add({1, 10});
  EXPECT_EQ(set.Remove({4, 6}), 3u);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(1, 3), Pair(7, 10)));
  EXPECT_EQ(set.Remove({20, 30}), 0u);
}

TEST(NumberSet, MissingIsWhatLiesBetween) {
  NumberSet set;
  EXPECT_THAT(set.Missing({2, 3}), ElementsAre(NumberRange{2, 3}));
  set.Add({3, 4});
  set.Add({8, 9});
  EXPECT_THAT(set.Missing({1, 12}), ElementsAre(NumberRange{1, 2}, NumberRange{5, 7}, NumberRange{10, 12}));
  EXPECT_THAT(set.Missing({3, 4}), IsEmpty());
}

// The same as a plain set of numbers, whatever is done to it.
TEST(NumberSet, AgreesWithASetOfSingleNumbers) {
  std::mt19937 random(7);
  NumberSet set;
  std::set<uint64_t> model;
  for (int step = 0; step < 5000; ++step) {
    const uint64_t first = 1 + random() % 60;
    const NumberRange range{first, first + random() % 8};
    const size_t before = model.size();
    if (random() % 2 == 0) {
      for (uint64_t n = range.first; n <= range.last; ++n) model.insert(n);
      ASSERT_EQ(set.Add(range), model.size() - before);
    } else {
      for (uint64_t n = range.first; n <= range.last; ++n) model.erase(n);
      ASSERT_EQ(set.Remove(range), before - model.size());
    }
    ASSERT_EQ(set.size(), model.size());
    uint64_t last = 0;
    for (const auto& [from, to] : set.ranges()) {
      ASSERT_TRUE(last == 0 || from > last + 1) << "ranges touch";
      last = to;
    }
    const uint64_t within = set.CountWithin(range);
    uint64_t missing = 0;
    for (const NumberRange& hole : set.Missing(range)) missing += hole.count();
    ASSERT_EQ(within + missing, range.count());
    for (uint64_t n = 1; n <= 70; ++n) ASSERT_EQ(set.Contains(n), model.count(n) == 1) << n;
  }
}

}  // namespace
}  // namespace fleet::server
