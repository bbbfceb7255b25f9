#include "common/bounded_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(BoundedQueue, GivesEverythingInOrderAndIsEmptyThen) {
  BoundedQueue<int> queue(10, [] {});
  std::vector<int> out = {99};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.Push(i));
  queue.TakeAll(out);
  EXPECT_THAT(out, ElementsAre(0, 1, 2));
  queue.TakeAll(out);
  EXPECT_THAT(out, IsEmpty());
}

TEST(BoundedQueue, RefusesAndCountsWhatIsOverItsCapacity) {
  BoundedQueue<std::unique_ptr<int>> queue(2, [] {});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.Push(std::make_unique<int>(i)), i < 2);
  EXPECT_EQ(queue.dropped(), 3u);
  std::vector<std::unique_ptr<int>> out;
  queue.TakeAll(out);
  EXPECT_EQ(out.size(), 2u);
  EXPECT_TRUE(queue.Push(nullptr));
}

TEST(BoundedQueue, WakesTheReaderOnlyWhenItStopsBeingEmpty) {
  int wakes = 0;
  BoundedQueue<int> queue(10, [&] { ++wakes; });
  queue.Push(1);
  queue.Push(2);
  EXPECT_EQ(wakes, 1);
  std::vector<int> out;
  queue.TakeAll(out);
  queue.Push(3);
  EXPECT_EQ(wakes, 2);
}

TEST(BoundedQueue, ManyPushersAndOneReaderLoseNothing) {
  constexpr int kPushers = 4, kEach = 10'000;
  BoundedQueue<int> queue(kPushers * kEach, [] {});
  std::vector<std::thread> pushers;
  for (int p = 0; p < kPushers; ++p) {
    pushers.emplace_back([&queue, p] {
      for (int i = 0; i < kEach; ++i) ASSERT_TRUE(queue.Push(p * kEach + i));
    });
  }
  std::vector<int> next(kPushers, 0), out;
  for (int taken = 0; taken < kPushers * kEach; taken += static_cast<int>(out.size())) {
    queue.TakeAll(out);
    for (const int item : out) EXPECT_EQ(item % kEach, next[static_cast<size_t>(item / kEach)]++);
  }
  for (std::thread& pusher : pushers) pusher.join();
  EXPECT_EQ(queue.dropped(), 0u);
}

TEST(BoundedQueue, AClosedOneRefusesAndKeepsWhatItHas) {
  BoundedQueue<int> queue(4, [] {});
  ASSERT_TRUE(queue.Push(1));
  queue.Close();
  EXPECT_FALSE(queue.Push(2));
  EXPECT_EQ(queue.dropped(), 0u);
  std::vector<int> items;
  queue.TakeAll(items);
  EXPECT_EQ(items, std::vector<int>{1});
}

}  // namespace
}  // namespace fleet
