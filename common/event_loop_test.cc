#include "common/event_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace fleet {
namespace {

TEST(EventLoop, TurnComesAgainWhenItSaidItIsDue) {
  const SystemClock clock;
  EventLoop loop(clock);
  std::vector<MonoTime> turns;
  loop.Run([&](Now now) {
    turns.push_back(now.mono);
    if (turns.size() == 3) loop.Stop();
    return now.mono + absl::Milliseconds(20);
  });
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_GE(turns[1] - turns[0], absl::Milliseconds(20));
  EXPECT_GE(turns[2] - turns[1], absl::Milliseconds(20));
}

TEST(EventLoop, WakeFromAnotherThreadBringsATurnBeforeItIsDue) {
  const SystemClock clock;
  EventLoop loop(clock);
  std::atomic<int> turns = 0;
  std::thread other;
  loop.Run([&](Now) {
    if (++turns == 1) {
      other = std::thread([&] { loop.Wake(); });
    } else {
      loop.Stop();
    }
    return MonoTime::Max();
  });
  other.join();
  EXPECT_EQ(turns, 2);
}

TEST(EventLoop, PostedTasksRunOnTheLoopThreadInOrderBeforeTheTurn) {
  const SystemClock clock;
  EventLoop loop(clock);
  std::vector<int> order;
  const std::thread::id loop_thread = std::this_thread::get_id();
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(loop.Post([&order, i, loop_thread] {
        EXPECT_EQ(std::this_thread::get_id(), loop_thread);
        order.push_back(i);
      }));
    }
  });
  loop.Run([&](Now) {
    if (order.size() == 100) loop.Stop();
    return MonoTime::Max();
  });
  other.join();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(EventLoop, TasksPostedBeforeTheEndStillRun) {
  const SystemClock clock;
  EventLoop loop(clock);
  bool ran = false;
  loop.Stop();
  EXPECT_TRUE(loop.Post([&] { ran = true; }));
  loop.Run([](Now) { return MonoTime::Max(); });
  EXPECT_TRUE(ran);
}

// Who would wait for an answer must not wait in vain.
TEST(EventLoop, PostRefusesAfterTheEnd) {
  const SystemClock clock;
  EventLoop loop(clock);
  loop.Stop();
  loop.Run([](Now) { return MonoTime::Max(); });
  EXPECT_FALSE(loop.Post([] {}));
}

TEST(EventLoop, PostRefusesWhatIsOverItsBound) {
  const SystemClock clock;
  EventLoop loop(clock);
  for (size_t i = 0; i < EventLoop::kMaxPosted; ++i) ASSERT_TRUE(loop.Post([] {}));
  EXPECT_FALSE(loop.Post([] {}));
}

TEST(EventLoop, TurnsAreAtLeastOneMillisecondApartUnderLoad) {
  const SystemClock clock;
  EventLoop loop(clock);
  const MonoTime start = clock.Read().mono;
  int turns = 0;
  loop.Run([&](Now now) {
    if (++turns == 20) loop.Stop();
    return now.mono;
  });
  EXPECT_GE(clock.Read().mono - start, 19 * EventLoop::kMinTurn);
}

// Times here are real, so it is many turns together that would take a second if they were paced.
TEST(EventLoop, APostedTaskDoesNotWaitForThePacing) {
  const SystemClock clock;
  EventLoop loop(clock);
  const MonoTime start = clock.Read().mono;
  int turns = 0;
  loop.Run([&](Now) {
    loop.ExpectMore();
    EXPECT_TRUE(loop.Post([] {}));
    if (++turns == 200) loop.Stop();
    return MonoTime::Max();
  });
  EXPECT_LT(clock.Read().mono - start, 200 * EventLoop::kBusyTurn);
}

TEST(EventLoop, ATurnThatHurriesIsFollowedAtOnce) {
  const SystemClock clock;
  EventLoop loop(clock);
  const MonoTime start = clock.Read().mono;
  int turns = 0;
  loop.Run([&](Now now) {
    loop.Hurry();
    if (++turns == 1000) loop.Stop();
    return now.mono;
  });
  EXPECT_LT(clock.Read().mono - start, 1000 * EventLoop::kMinTurn);
}

TEST(EventLoop, ExpectMoreComesBeforeHurry) {
  const SystemClock clock;
  EventLoop loop(clock);
  const MonoTime start = clock.Read().mono;
  int turns = 0;
  loop.Run([&](Now now) {
    loop.Hurry();
    loop.ExpectMore();
    if (++turns == 4) loop.Stop();
    return now.mono;
  });
  EXPECT_GE(clock.Read().mono - start, 3 * EventLoop::kBusyTurn);
}

}  // namespace
}  // namespace fleet
