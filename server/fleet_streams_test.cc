// Receipts: after the commit, for everything that was taken, and never for what was lost.
#include "server/fleet_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"
#include "server/testing/stream_messages.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FleetStreamsTest : public testing::Test {
 protected:
  void Events(absl::string_view device, uint64_t first, uint64_t last, uint32_t epoch = 1) {
    const v1::EventBatch batch = EventsOf(epoch, first, last);
    fleet_.Apply(EventBatchEvent{device, &batch});
  }
  void Samples(absl::string_view device, uint64_t first, uint64_t last) {
    const v1::TelemetryBatch batch = SamplesOf(1, first, last);
    fleet_.Apply(TelemetryEvent{device, &batch});
  }
  void Report(absl::string_view device, uint32_t number, const std::vector<v1::EpochAccount>& accounts) {
    const v1::LedgerReport report = ReportOf(1, number, accounts);
    fleet_.Apply(LedgerEvent{device, &report});
  }
  // Hands the rows to the writer; returns the number of the batch.
  uint64_t Hand() {
    const RowBatch rows = fleet_.TakeRows();
    written_events_ += rows.events.size();
    return rows.number;
  }
  // "a: event 1 1-3, ledger 1/2" for each receipt that goes out.
  std::vector<std::string> Commit(uint64_t number) {
    fleet_.changes.publish.clear();
    fleet_.state.Committed(number, fleet_.changes);
    std::vector<std::string> receipts;
    for (const Publication& publication : fleet_.changes.publish) {
      EXPECT_EQ(publication.qos, 1);
      v1::Receipt receipt;
      EXPECT_TRUE(receipt.ParseFromString(publication.payload));
      std::string text = absl::StrCat(publication.topic, ":");
      for (const v1::ReceiptRange& range : receipt.ranges()) {
        absl::StrAppend(&text, range.stream() == v1::STREAM_EVENT ? " e" : " t", range.epoch(), "/", range.first_seq(),
                        "-", range.last_seq());
      }
      if (receipt.ledger_number() != 0) {
        absl::StrAppend(&text, " ledger ", receipt.ledger_epoch(), "/", receipt.ledger_number());
      }
      receipts.push_back(text);
    }
    return receipts;
  }
  void Lose(uint64_t number) { fleet_.state.Lost(number, clock_.Read(), fleet_.changes); }

  FakeClock clock_;
  TestFleet fleet_{clock_};
  uint64_t written_events_ = 0;
};

TEST_F(FleetStreamsTest, AReceiptGoesOutAfterTheCommitAndOnce) {
  Events("a", 1, 3);
  EXPECT_THAT(Commit(fleet_.changes.rows.number - 1), IsEmpty());
  const uint64_t batch = Hand();
  EXPECT_THAT(Commit(batch), ElementsAre("server/a/receipt: e1/1-3"));
  EXPECT_THAT(Commit(batch), IsEmpty());
}

TEST_F(FleetStreamsTest, OneCommitIsOneReceiptForEachDevice) {
  Events("a", 1, 1);
  Samples("b", 1, 9);
  Samples("a", 1, 5);
  Report("a", 7, {AccountOf(v1::STREAM_EVENT, 1, 1, 1)});
  Hand();
  Events("a", 2, 2);
  const uint64_t second = Hand();
  Events("a", 3, 3);
  EXPECT_THAT(Commit(second),
              ElementsAre("server/a/receipt: e1/1-1 t1/1-5 e1/2-2 ledger 1/7", "server/b/receipt: t1/1-9"));
}

TEST_F(FleetStreamsTest, ADuplicateGetsItsReceiptToo) {
  Events("a", 1, 3);
  Commit(Hand());
  Events("a", 1, 3);
  EXPECT_THAT(Commit(Hand()), ElementsAre("server/a/receipt: e1/1-3"));
  EXPECT_EQ(written_events_, 3u);
}

TEST_F(FleetStreamsTest, WhileTheStoreDoesNotWorkNothingIsTaken) {
  fleet_.state.SetStoreWorks(false);
  Events("a", 1, 3);
  Samples("a", 1, 3);
  Report("a", 1, {});
  EXPECT_EQ(fleet_.state.streams().counters().refused, 3u);
  EXPECT_THAT(Commit(Hand()), IsEmpty());
  fleet_.state.SetStoreWorks(true);
  Events("a", 1, 3);
  EXPECT_THAT(Commit(Hand()), ElementsAre("server/a/receipt: e1/1-3"));
  EXPECT_EQ(written_events_, 3u);
}

TEST_F(FleetStreamsTest, WhatTheDatabaseRefusedGetsNoReceiptAndIsTakenAgain) {
  Events("a", 1, 3);
  const uint64_t lost = Hand();
  Events("b", 1, 1);
  const uint64_t next = Hand();
  Lose(lost);
  EXPECT_THAT(Commit(next), ElementsAre("server/b/receipt: e1/1-1"));
  Events("a", 1, 3);
  EXPECT_THAT(Commit(Hand()), ElementsAre("server/a/receipt: e1/1-3"));
  EXPECT_EQ(written_events_, 7u) << "three of them twice handed over, once in vain";
}

TEST_F(FleetStreamsTest, ACopyOfWhatWasLostIsNotReceiptedEither) {
  Events("a", 1, 3);
  const uint64_t lost = Hand();
  Events("a", 1, 3);  // a duplicate, as far as one could know
  Events("a", 4, 4);
  const uint64_t next = Hand();
  Lose(lost);
  EXPECT_THAT(Commit(next), ElementsAre("server/a/receipt: e1/4-4"));
}

TEST_F(FleetStreamsTest, ALostReportGetsNoReceiptAndTheAccountsAreWrittenAgain) {
  Report("a", 1, {AccountOf(v1::STREAM_EVENT, 1, 5, 5)});
  const uint64_t lost = Hand();
  Lose(lost);
  EXPECT_THAT(fleet_.changes.rows.stream_accounts, SizeIs(1));
  EXPECT_THAT(Commit(Hand()), IsEmpty());
}

TEST_F(FleetStreamsTest, ALongReceiptIsCut) {
  const uint64_t count = Receipts::kMaxRanges + 1;
  for (uint64_t seq = 1; seq <= count; ++seq) Events("a", seq, seq);
  EXPECT_THAT(Commit(Hand()), SizeIs(2));
}

TEST_F(FleetStreamsTest, ABatchOfAnOlderLifeIsTakenAndALedgerOfOneIsNot) {
  fleet_.Beat("a", 1);
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(5);
  heartbeat.set_seq(1);
  fleet_.Apply(HeartbeatEvent{"a", &heartbeat});
  Events("a", 1, 1, 2);
  Report("a", 1, {});
  EXPECT_THAT(Commit(Hand()), ElementsAre("server/a/receipt: e2/1-1"));
}

TEST_F(FleetStreamsTest, TheFleetKnowsHowManyDevicesDoNotBalance) {
  Report("a", 1, {AccountOf(v1::STREAM_EVENT, 1, 5, 0)});
  Report("b", 1, {AccountOf(v1::STREAM_EVENT, 1, 5, 5)});
  EXPECT_EQ(fleet_.state.streams().unbalanced(), 1u);
  Events("a", 1, 5);
  Report("a", 2, {AccountOf(v1::STREAM_EVENT, 1, 5, 0)});
  EXPECT_EQ(fleet_.state.streams().unbalanced(), 0u);
  EXPECT_EQ(fleet_.state.streams().Totals(v1::STREAM_EVENT).sent, 10u);
}

}  // namespace
}  // namespace fleet::server
