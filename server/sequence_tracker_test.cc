#include "server/sequence_tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace fleet::server {
namespace {

using Verdict = SequenceTracker::Verdict;

void AcceptAll(SequenceTracker& tracker, uint32_t epoch, uint32_t first, uint32_t last) {
  for (uint32_t seq = first; seq <= last; ++seq) tracker.Accept(epoch, seq);
}

TEST(SequenceTracker, UnbrokenStreamMissesNothing) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 1000);
  EXPECT_EQ(tracker.saved().expected, 1000u);
  EXPECT_EQ(tracker.saved().stored, 1000u);
  EXPECT_EQ(tracker.missing(), 0u);
}

TEST(SequenceTracker, GapIsMissing) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 10);
  EXPECT_EQ(tracker.Accept(1, 15), Verdict::kNew);
  EXPECT_EQ(tracker.missing(), 4u);
}

TEST(SequenceTracker, LateOneTurnsFromMissingToStoredAndReordered) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 10);
  tracker.Accept(1, 12);
  EXPECT_EQ(tracker.Accept(1, 11), Verdict::kLate);
  EXPECT_EQ(tracker.missing(), 0u);
  EXPECT_EQ(tracker.saved().reordered, 1u);
}

TEST(SequenceTracker, SecondCopyIsADuplicateWheneverItComes) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 10);
  EXPECT_EQ(tracker.Accept(1, 10), Verdict::kDuplicate);
  EXPECT_EQ(tracker.Accept(1, 3), Verdict::kDuplicate);
  EXPECT_EQ(tracker.saved().stored, 10u);
  EXPECT_EQ(tracker.saved().duplicate, 2u);
}

TEST(SequenceTracker, WindowReachesBackExactly64Numbers) {
  SequenceTracker tracker;
  tracker.Accept(1, 1);
  tracker.Accept(1, 100);
  EXPECT_EQ(tracker.Accept(1, 100 - 63), Verdict::kLate);
  EXPECT_EQ(tracker.Accept(1, 100 - 64), Verdict::kDuplicate);  // too old to tell, so not stored twice
  EXPECT_EQ(tracker.missing(), 97u);                            // 2..99 but for 37
}

TEST(SequenceTracker, JumpOfExactlyTheWindowForgetsWhatLiesBehindIt) {
  SequenceTracker tracker;
  tracker.Accept(1, 1);
  tracker.Accept(1, 65);
  EXPECT_EQ(tracker.Accept(1, 1), Verdict::kDuplicate);
  EXPECT_EQ(tracker.Accept(1, 2), Verdict::kLate);
}

TEST(SequenceTracker, FirstMessageEverIsTheBaseline) {
  SequenceTracker tracker;
  EXPECT_EQ(tracker.Accept(7, 5000), Verdict::kNew);
  EXPECT_EQ(tracker.saved().expected, 1u);
  EXPECT_EQ(tracker.missing(), 0u);
  EXPECT_EQ(tracker.Accept(7, 4999), Verdict::kDuplicate);  // from before we came in, never expected
}

TEST(SequenceTracker, BaselineHoldsWhenTheLifeWasKnownFirst) {
  SequenceTracker tracker;
  tracker.StartLife(7);
  tracker.Accept(7, 5000);
  EXPECT_EQ(tracker.missing(), 0u);
}

TEST(SequenceTracker, NewLifeIsExpectedFromItsFirstNumber) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 10);
  EXPECT_EQ(tracker.Accept(2, 4), Verdict::kNew);
  EXPECT_EQ(tracker.missing(), 3u);
  EXPECT_EQ(tracker.Accept(2, 1), Verdict::kLate);
  EXPECT_EQ(tracker.missing(), 2u);
  EXPECT_EQ(tracker.saved().expected, 14u);
}

TEST(SequenceTracker, LifeMayBeginAgainUnderTheSameEpoch) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 10);
  tracker.StartLife(1);
  EXPECT_EQ(tracker.Accept(1, 1), Verdict::kNew);
  EXPECT_EQ(tracker.missing(), 0u);
  EXPECT_EQ(tracker.saved().stored, 11u);
}

TEST(SequenceTracker, ALifeThatGoesOnIsExpectedFromWhatIsHeardNext) {
  SequenceTracker tracker;
  AcceptAll(tracker, 1, 1, 10);
  tracker.StartLife(2);
  AcceptAll(tracker, 2, 1, 10);
  tracker.ResumeLife(1);
  EXPECT_EQ(tracker.Accept(1, 500), Verdict::kNew);
  EXPECT_EQ(tracker.Accept(1, 499), Verdict::kDuplicate);
  EXPECT_EQ(tracker.missing(), 0u);
  EXPECT_EQ(tracker.saved().expected, 21u);
}

TEST(SequenceTracker, WhatCameWhileTheServerSleptIsMissing) {
  SequenceTracker before;
  AcceptAll(before, 3, 1, 100);
  before.Accept(3, 102);
  SequenceTracker after(before.saved());
  EXPECT_EQ(after.Accept(3, 101), Verdict::kLate);  // the window is restored too
  EXPECT_EQ(after.Accept(3, 100), Verdict::kDuplicate);
  EXPECT_EQ(after.Accept(3, 150), Verdict::kNew);
  EXPECT_EQ(after.missing(), 47u);
}

TEST(SequenceTracker, HighestNumberOnTheWireIsCountedRight) {
  SequenceTracker tracker;
  tracker.Accept(1, 1);
  EXPECT_EQ(tracker.Accept(1, UINT32_MAX - 1), Verdict::kNew);
  EXPECT_EQ(tracker.saved().expected, uint64_t{UINT32_MAX} - 1);
  EXPECT_EQ(tracker.missing(), uint64_t{UINT32_MAX} - 3);
}

// The promise in the plainest words: remembers every number of every life in a set.
class Model {
 public:
  Verdict Accept(uint32_t epoch, uint32_t seq) {
    if (epoch != epoch_) {
      baseline_ = epoch_ == 0 ? seq : 1;
      highest_ = baseline_ - 1;
      epoch_ = epoch;
      came_.clear();
    }
    const bool too_old = seq <= highest_ && highest_ - seq >= 64;
    if (seq < baseline_ || too_old || came_.count(seq) != 0) return Verdict::kDuplicate;
    came_.insert(seq);
    ++stored_;
    if (seq < highest_) return Verdict::kLate;
    expected_ += seq - highest_;
    highest_ = seq;
    return Verdict::kNew;
  }
  uint64_t expected() const { return expected_; }
  uint64_t stored() const { return stored_; }

 private:
  uint32_t epoch_ = 0;
  uint32_t baseline_ = 0;
  uint32_t highest_ = 0;
  uint64_t expected_ = 0;
  uint64_t stored_ = 0;
  std::set<uint32_t> came_;
};

// Numbers 1.. with loss, doubling and displacement by up to `reach` places.
std::vector<uint32_t> DisturbedStream(std::mt19937& random, uint32_t reach) {
  std::vector<std::pair<uint32_t, uint32_t>> sent;  // place, number
  const uint32_t first = random() % 3 == 0 ? 1 : 1 + random() % 1000;
  for (uint32_t i = 0; i < 300; ++i) {
    if (random() % 10 == 0) continue;
    const int copies = random() % 10 == 0 ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) sent.emplace_back(i + random() % (reach + 1), first + i);
  }
  std::stable_sort(sent.begin(), sent.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<uint32_t> numbers;
  for (const auto& [place, number] : sent) numbers.push_back(number);
  return numbers;
}

TEST(SequenceTracker, AgreesWithTheModelUnderLossDoublingAndReordering) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    SequenceTracker tracker;
    Model model;
    for (uint32_t epoch = 1; epoch <= 3; ++epoch) {
      for (uint32_t seq : DisturbedStream(random, seed % 100)) {
        ASSERT_EQ(tracker.Accept(epoch, seq), model.Accept(epoch, seq)) << "seed " << seed << " seq " << seq;
        ASSERT_EQ(tracker.saved().expected, tracker.saved().stored + tracker.missing());
        if (random() % 50 == 0) tracker = SequenceTracker(tracker.saved());  // the server restarts
      }
    }
    EXPECT_EQ(tracker.saved().expected, model.expected()) << "seed " << seed;
    EXPECT_EQ(tracker.saved().stored, model.stored()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace fleet::server
