#include "server/past_lives.h"

#include <gtest/gtest.h>

namespace fleet::server {
namespace {

constexpr Life kNone;

TEST(PastLives, ARestartIsNoReturn) {
  PastLives lives;
  EXPECT_FALSE(lives.Move(kNone, {1, 100}));
  EXPECT_FALSE(lives.Move({1, 100}, {2, 200}));
  EXPECT_FALSE(lives.Move({2, 200}, {3, 300}));
}

TEST(PastLives, ALifeThatWasLeftIsKnownWhenItComesBack) {
  PastLives lives;
  lives.Move(kNone, {1, 100});
  lives.Move({1, 100}, {1, 900});
  EXPECT_TRUE(lives.Move({1, 900}, {1, 100})) << "the same epoch, another start";
  EXPECT_TRUE(lives.Move({1, 100}, {1, 900}));
}

TEST(PastLives, TheLatestFourAreKnown) {
  PastLives lives;
  Life now = kNone;
  for (uint32_t epoch = 1; epoch <= 6; ++epoch) {
    lives.Move(now, {epoch, epoch});
    now = {epoch, epoch};
  }
  EXPECT_EQ(lives.Find(1), nullptr);
  EXPECT_NE(lives.Find(2), nullptr);
  EXPECT_NE(lives.Find(5), nullptr);
  EXPECT_EQ(lives.Find(6), nullptr) << "it is in that one";
}

TEST(PastLives, TwoThatTakeTurnsDoNotPushOutOthers) {
  PastLives lives;
  lives.Move({1, 100}, {2, 200});
  for (int i = 0; i < 20; ++i) {
    lives.Move({2, 200}, {3, 300});
    lives.Move({3, 300}, {2, 200});
  }
  EXPECT_NE(lives.Find({1, 100}), nullptr);
}

TEST(PastLives, AnUnknownStartFitsAnyOfItsEpochTheLatestFirst) {
  PastLives lives;
  lives.Move({1, 100}, {1, 200});
  lives.Move({1, 200}, {2, 300});
  ASSERT_NE(lives.Find(1), nullptr);
  EXPECT_EQ(lives.Find(1)->started_unix_ms, 200u);
  EXPECT_EQ(lives.Find({1, 150}), nullptr);
}

}  // namespace
}  // namespace fleet::server
