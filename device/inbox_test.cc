#include "device/inbox.h"

#include <gtest/gtest.h>

#include <string>

namespace fleet::device {
namespace {

std::string KindsOf(Inbox& inbox) {
  std::string kinds;
  inbox.Drain([&](Inbox::Item& item) {
    kinds += std::holds_alternative<LinkUp>(item.input)     ? 'U'
             : std::holds_alternative<LinkDown>(item.input) ? 'D'
                                                            : 'x';
  });
  return kinds;
}

class InboxTest : public testing::Test {
 protected:
  Inbox MakeInbox(size_t capacity) {
    return Inbox(capacity, /*links=*/1, [this] { ++wakes_; });
  }
  int wakes_ = 0;
};

TEST_F(InboxTest, AFloodDoesNotCrowdOutNewsOfTheLink) {
  Inbox inbox = MakeInbox(3);
  for (int i = 0; i < 5; ++i) inbox.Push(0, Arrived{});
  EXPECT_TRUE(inbox.PushEvent(0, LinkDown{}));
  EXPECT_TRUE(inbox.PushEvent(0, LinkUp{}));
  EXPECT_EQ(KindsOf(inbox), "DUxxx");
  EXPECT_EQ(inbox.dropped(), 2);
  EXPECT_EQ(KindsOf(inbox), "");
}

TEST_F(InboxTest, AFloodCrowdsOutNoAnswerOfTheSpool) {
  Inbox inbox = MakeInbox(1);
  for (int i = 0; i < 5; ++i) inbox.Push(0, Arrived{});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(inbox.Push(0, SpoolDone{}));
  size_t dones = 0;
  inbox.Drain([&](Inbox::Item& item) { dones += std::holds_alternative<SpoolDone>(item.input) ? 1 : 0; });
  EXPECT_EQ(dones, 100);
}

TEST_F(InboxTest, FewSamplesWaitAndWhoeverBringsMoreIsTold) {
  Inbox inbox = MakeInbox(1000);
  for (size_t i = 0; i < Inbox::kMaxSamplesTaken; ++i) EXPECT_TRUE(inbox.Push(0, SamplesTaken{}));
  EXPECT_FALSE(inbox.Push(0, SamplesTaken{}));
  EXPECT_TRUE(inbox.Push(0, EventTold{}));
}

TEST_F(InboxTest, WhatIsTooLargeIsCutButStillRecognised) {
  Inbox inbox = MakeInbox(1);
  inbox.Push(0, Arrived{.payload = std::string(1'000'000, 'x')});
  size_t bytes = 0;
  inbox.Drain([&](Inbox::Item& item) { bytes = std::get<Arrived>(item.input).payload.size(); });
  EXPECT_EQ(bytes, kMaxPayloadBytes + 1);
}

TEST_F(InboxTest, WakesTheReaderOncePerBatch) {
  Inbox inbox = MakeInbox(10);
  inbox.Push(0, Arrived{});
  inbox.Push(0, Arrived{});
  EXPECT_EQ(wakes_, 1);
  KindsOf(inbox);
  inbox.Push(0, Arrived{});
  EXPECT_EQ(wakes_, 2);
}

}  // namespace
}  // namespace fleet::device
