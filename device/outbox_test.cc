#include "device/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/topics.h"
#include "device/testing/outbox_world.h"

namespace fleet::device {
namespace {

using Sent = OutboxWorld::Sent;

// made = receipted + dropped + waiting, of this life and of what it found.
void ExpectBalance(const OutboxWorld& world, const std::map<v1::Stream, uint64_t>& found) {
  for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) {
    const Outbox::Counters& counters = world.outbox->counters();
    EXPECT_EQ(counters.made[stream] + found.at(stream),
              counters.receipted[stream] + counters.dropped[stream] + world.outbox->waiting(stream))
        << v1::Stream_Name(stream);
  }
}

TEST(Outbox, AnEventIsSentAndWrittenInItsTurnAndRemovedAfterTheReceipt) {
  OutboxWorld world;
  world.Connect();
  world.Turn();
  world.receipts_at_once = false;
  world.AddEvent();
  world.Turn();
  ASSERT_EQ(world.sent.size(), 1);
  EXPECT_FALSE(world.sent[0].backlog);
  EXPECT_EQ(world.disk.size(), 1);
  world.GiveReceipts();
  world.receipts_at_once = true;
  world.Run(absl::Seconds(2));
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 0);
  EXPECT_TRUE(world.disk.empty());
  EXPECT_EQ(world.sent.size(), 1);
}

TEST(Outbox, SamplesOfASecondTravelTogether) {
  OutboxWorld world;
  world.Connect();
  for (int i = 0; i < 10; ++i) {
    world.AddSample("a/b", i);
    world.AddSample("a/c", i);
    world.Run(absl::Milliseconds(100));
  }
  world.Run(absl::Milliseconds(10));
  ASSERT_EQ(world.sent.size(), 1);
  EXPECT_EQ(world.sent[0].first_seq, 1);
  EXPECT_EQ(world.sent[0].last_seq, 20);
}

TEST(Outbox, ABatchIsClosedBeforeItIsTooLarge) {
  OutboxWorld world;
  world.Connect();
  for (int i = 0; i < 501; ++i) world.AddSample();
  world.Turn();
  ASSERT_GT(world.sent.size(), 3);
  EXPECT_GT(world.sent[0].last_seq, 50);
  EXPECT_EQ(world.sent[1].first_seq, world.sent[0].last_seq + 1);
  for (int i = 0; i < 1000; ++i) world.AddSample(absl::StrCat("signal/", std::string(50, 'x'), i % 400));
  for (int i = 0; i < 1000; ++i) world.AddEvent(std::string(64, 'x'));
  world.outbox->Tick(world.clock, world.effects);
  EXPECT_GT(world.effects.publish.size(), 6);
  for (const Publication& publication : world.effects.publish) {
    const bool is_telemetry = absl::EndsWith(publication.topic, "/telemetry");
    EXPECT_LE(publication.payload.size(), is_telemetry ? 1400 : 16 << 10);
  }
}

TEST(Outbox, TelemetryIsNotWrittenWhileReceiptsFlow) {
  OutboxWorld world;
  world.Connect();
  world.Run(absl::Seconds(2));
  world.AddSample();
  world.Run(absl::Seconds(2));
  const uint64_t works = world.works_done;  // the account of this life among them
  for (int i = 0; i < 600; ++i) {
    world.AddSample();
    world.Run(absl::Milliseconds(100));
  }
  EXPECT_EQ(world.works_done, works);
  EXPECT_EQ(world.stored(v1::STREAM_TELEMETRY), 601);
}

TEST(Outbox, TelemetryGoesToTheDiskWhenReceiptsStopAndComesBackWhenTheyFlow) {
  OutboxWorld world;
  for (int i = 0; i < 60; ++i) {
    world.AddSample();
    world.Run(absl::Seconds(1));
  }
  EXPECT_TRUE(world.outbox->is_spilling());
  EXPECT_GE(world.disk.size(), 58);
  EXPECT_LT(world.outbox->memory_bytes(), 1000);
  world.Connect();
  world.AddSample("live/now");
  for (int i = 0; i < 10; ++i) {
    world.AddSample("live/now");
    world.Run(absl::Seconds(1));
  }
  EXPECT_FALSE(world.outbox->is_spilling());
  EXPECT_TRUE(world.disk.empty());
  EXPECT_EQ(world.stored(v1::STREAM_TELEMETRY), 71);
}

TEST(Outbox, WhatIsNewGoesFirstAndTheBacklogIsMarkedAndInOrder) {
  OutboxWorld world;
  for (int i = 0; i < 20; ++i) {
    world.AddSample();
    world.Run(absl::Seconds(1));
  }
  world.Run(absl::Seconds(2));
  world.Connect();
  world.AddEvent();
  world.Turn();
  ASSERT_FALSE(world.sent.empty());
  EXPECT_EQ(world.sent[0].stream, v1::STREAM_EVENT);
  EXPECT_FALSE(world.sent[0].backlog);
  world.Run(absl::Seconds(1));
  const std::vector<Sent> backlog = world.SentOf(v1::STREAM_TELEMETRY);
  ASSERT_EQ(backlog.size(), 20);
  for (size_t i = 0; i < backlog.size(); ++i) {
    EXPECT_TRUE(backlog[i].backlog);
    EXPECT_EQ(backlog[i].first_seq, i + 1);
  }
}

TEST(Outbox, TheBacklogWaitsForReceipts) {
  OutboxWorld world;
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 80; ++k) world.AddSample();
    world.Run(absl::Seconds(2));
  }
  world.receipts_at_once = false;
  world.Connect();
  world.Run(absl::Seconds(1));
  const size_t first = world.sent.size();
  uint64_t least_bytes = 0;  // eight of each sample are its value
  for (const auto& sent : world.SentOf(v1::STREAM_TELEMETRY)) least_bytes += 8 * (sent.last_seq - sent.first_seq + 1);
  EXPECT_GT(least_bytes, 0);
  EXPECT_LE(least_bytes, BacklogPacer::kFirstWindowBytes);
  world.Run(absl::Seconds(1));
  EXPECT_EQ(world.sent.size(), first);
  world.GiveReceipts();
  world.Run(absl::Milliseconds(1));
  EXPECT_GT(world.sent.size(), first);
}

TEST(Outbox, WhatGotNoReceiptIsSentAgainMarked) {
  for (const bool has_spool : {false, true}) {
    OutboxWorld world(has_spool);
    world.server_works = false;
    world.Connect();
    world.AddEvent();
    world.AddSample();
    world.Run(absl::Seconds(1));
    EXPECT_EQ(world.sent.size(), 2);
    world.server_works = true;
    world.Run(absl::Seconds(8));
    ASSERT_EQ(world.sent.size(), 4);
    EXPECT_TRUE(world.sent[2].backlog && world.sent[3].backlog);
    EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 0);
    EXPECT_EQ(world.outbox->waiting(v1::STREAM_TELEMETRY), 0);
  }
}

TEST(Outbox, AReconnectSendsAgainWhatWasOnItsWay) {
  OutboxWorld world;
  world.Connect();
  world.receipts_at_once = false;
  world.AddEvent();
  world.AddSample();
  world.Run(absl::Seconds(1));
  world.Disconnect();
  world.receipts_at_once = true;
  world.Connect();
  world.Run(absl::Seconds(1));
  ASSERT_EQ(world.sent.size(), 4);
  EXPECT_TRUE(world.sent[2].backlog && world.sent[3].backlog);
  ExpectBalance(world, {{v1::STREAM_EVENT, 0}, {v1::STREAM_TELEMETRY, 0}});
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_TELEMETRY), 0);
}

TEST(Outbox, AReceiptThatTakesLongerThanPatienceIsStillAReceipt) {
  OutboxWorld world;
  for (int i = 0; i < 3; ++i) {
    world.AddEvent();
    world.Run(absl::Seconds(1));
  }
  world.receipts_at_once = false;
  world.Connect();
  world.Run(absl::Seconds(6));
  world.GiveReceipts();
  world.Run(absl::Milliseconds(1));
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 0);
}

TEST(Outbox, AStopWritesWhatIsInMemoryAndTheNextLifeSendsIt) {
  OutboxWorld world;
  world.AddEvent();
  world.AddSample();
  world.AddSample();
  world.Stop();
  world.Start();
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 1);
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_TELEMETRY), 2);
  world.Connect();
  world.Run(absl::Seconds(10));
  EXPECT_EQ(world.server.at({v1::STREAM_EVENT, 1}).size(), 1);
  EXPECT_EQ(world.server.at({v1::STREAM_TELEMETRY, 1}).size(), 2);
  EXPECT_EQ(world.ledger.at({v1::STREAM_TELEMETRY, 1}).made(), 2);
  EXPECT_EQ(world.ledger.at({v1::STREAM_TELEMETRY, 1}).waiting(), 0);
  EXPECT_TRUE(world.disk_made.empty()) << "settled";
}

TEST(Outbox, ACrashLosesNoEventAndTheLedgerSettlesTheRest) {
  OutboxWorld world;
  world.Run(absl::Seconds(1));
  world.AddEvent();
  world.AddSample();
  world.Run(absl::Seconds(2));
  world.Start();
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 1);
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_TELEMETRY), 0);
  world.Connect();
  world.Run(absl::Seconds(10));
  EXPECT_EQ(world.server.at({v1::STREAM_EVENT, 1}).size(), 1);
  EXPECT_EQ(world.ledger.at({v1::STREAM_TELEMETRY, 1}).made(), 1);  // number 1 is what the server settles as crash
  EXPECT_TRUE(world.disk_made.empty());
}

TEST(Outbox, ADiskThatFailsIsSaidOnceAndTriedAgain) {
  OutboxWorld world;
  world.disk_fails = true;
  world.AddEvent();
  world.Run(absl::Seconds(10));
  EXPECT_EQ(world.outbox->counters().made[v1::STREAM_EVENT], 2);  // and SPOOL_FAILED
  world.disk_fails = false;
  world.Run(absl::Seconds(2));
  EXPECT_EQ(world.outbox->counters().made[v1::STREAM_EVENT], 3);  // and SPOOL_WORKS
  EXPECT_EQ(world.disk.size(), 3);
}

TEST(Outbox, MemoryIsBoundedAndEventsGoLast) {
  OutboxWorld world;
  world.disk_fails = true;
  world.AddEvent();
  for (int i = 0; i < 200'000; ++i) world.AddSample("a/b", i);
  EXPECT_LE(world.outbox->memory_bytes(), Outbox::kMaxMemoryBytes);
  EXPECT_GT(world.outbox->counters().dropped[v1::STREAM_TELEMETRY], 0);
  EXPECT_EQ(world.outbox->counters().dropped[v1::STREAM_EVENT], 0);
  ExpectBalance(world, {{v1::STREAM_EVENT, 0}, {v1::STREAM_TELEMETRY, 0}});
  world.disk_fails = false;
  world.Connect();
  world.Run(absl::Seconds(30));
  const v1::EpochAccount& account = world.ledger.at({v1::STREAM_TELEMETRY, 1});
  ASSERT_EQ(account.dropped_size(), 1);
  EXPECT_EQ(account.dropped(0).reason(), v1::DROP_REASON_MEMORY_FULL);
  EXPECT_EQ(account.dropped(0).last_seq() + world.stored(v1::STREAM_TELEMETRY), 200'000);
  EXPECT_EQ(world.disk_dropped.at({v1::STREAM_TELEMETRY, 1}).size(), 1);
}

TEST(Outbox, ReceiptsWithoutSenseAreCounted) {
  OutboxWorld world;
  world.Connect();
  world.receipts_at_once = false;
  world.AddEvent();
  world.Turn();
  v1::Receipt receipt;
  const auto add = [&](int stream, uint32_t epoch, uint64_t first, uint64_t last) {
    v1::ReceiptRange& range = *receipt.add_ranges();
    range.set_stream(static_cast<v1::Stream>(stream));
    range.set_epoch(epoch);
    range.set_first_seq(first);
    range.set_last_seq(last);
  };
  add(0, 1, 1, 1);
  add(7, 1, 1, 1);
  add(1, 1, 0, 1);
  add(1, 1, 2, 1);
  add(1, 1, 1, 2);
  add(1, 9, 1, 1);
  world.outbox->Hear(receipt, world.clock);
  EXPECT_EQ(world.outbox->counters().bad_receipts, 6);
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 1);
}

TEST(Outbox, TextsAreCutAndMadeUtf8) {
  OutboxWorld world;
  world.Connect();
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_REPORTED);
  event.set_name("caf\xc3\xa9\xff");
  event.set_detail(std::string(199, 'x') + "\xc3\xa9");
  world.outbox->Add(event, world.clock);
  world.outbox->Tick(world.clock, world.effects);
  v1::EventBatch batch;
  ASSERT_TRUE(batch.ParseFromString(world.effects.publish.at(0).payload));
  EXPECT_EQ(batch.events(0).name(), "caf\xc3\xa9?");
  EXPECT_EQ(batch.events(0).detail(), std::string(199, 'x'));
  EXPECT_EQ(batch.events(0).at_unix_ms(), 1'760'000'000'000);
}

TEST(Outbox, ALinkThatRefusesIsTriedAgainInPeace) {
  OutboxWorld world;
  world.Connect();
  world.link_refuses = true;
  world.AddEvent();
  world.Run(absl::Seconds(10));
  EXPECT_TRUE(world.sent.empty());
  EXPECT_LT(world.outbox->counters().backlog_batches, 200);
  world.link_refuses = false;
  world.Run(absl::Seconds(1));
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 0);
}

// Everything at once, from a seed: whatever happens, no record is lost without being counted.
class OutboxStorm : public testing::TestWithParam<int> {};

void Step(OutboxWorld& world, std::mt19937& random, std::map<v1::Stream, uint64_t>& found) {
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  switch (pick(16)) {
    case 0:
      world.link_up ? world.Disconnect() : world.Connect();
      break;
    case 1:
      world.server_works = pick(4) != 0;
      break;
    case 2:
      world.disk_fails = pick(4) == 0;
      break;
    case 3:
      world.receipts_at_once = pick(2) == 0;
      break;
    case 4:
      world.disk_works_at_once = pick(2) == 0;
      break;
    case 5:
      world.disk_bytes = pick(3) == 0 ? 2000 : 1 << 30;
      break;
    case 6:
      world.link_refuses = pick(8) == 0;
      break;
    case 7:
      world.GiveReceipts();
      break;
    case 8:
      world.WorkDisk();
      break;
    case 9:
      if (pick(20) != 0) break;
      world.disk_fails = false;
      world.WorkDisk();
      world.Stop();
      world.Start();
      for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY})
        found[stream] = world.outbox->waiting(stream);
      break;
    case 10:
    case 11:
      world.AddEvent();
      break;
    default:
      for (int i = pick(30); i > 0; --i) world.AddSample();
  }
  world.Run(absl::Milliseconds(pick(1500)));
}

TEST_P(OutboxStorm, NothingIsLostUncounted) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  OutboxWorld world;
  std::map<v1::Stream, uint64_t> found{{v1::STREAM_EVENT, 0}, {v1::STREAM_TELEMETRY, 0}};
  for (int step = 0; step < 3000; ++step) {
    Step(world, random, found);
    ExpectBalance(world, found);
    if (HasFailure()) FAIL() << "step " << step;
  }
  world.server_works = world.receipts_at_once = world.disk_works_at_once = true;
  world.disk_fails = world.link_refuses = false;
  world.disk_bytes = 1 << 30;
  if (world.link_up) world.Disconnect();
  world.GiveReceipts();
  world.WorkDisk();
  world.Connect();
  world.Run(absl::Minutes(2));
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_EVENT), 0);
  EXPECT_EQ(world.outbox->waiting(v1::STREAM_TELEMETRY), 0);
  EXPECT_TRUE(world.disk.empty());
  for (const auto& [key, account] : world.ledger) {
    const auto& stored = world.server[key];
    for (uint64_t seq = 1; seq <= account.made(); ++seq) {
      const bool dropped = std::ranges::any_of(account.dropped(), [&](const v1::DroppedRange& range) {
        return range.first_seq() <= seq && seq <= range.last_seq();
      });
      ASSERT_TRUE(dropped || stored.contains(seq)) << v1::Stream_Name(key.first) << " " << key.second << " " << seq;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, OutboxStorm, testing::Range(1, 21));

}  // namespace
}  // namespace fleet::device
