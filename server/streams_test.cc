#include "server/streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"
#include "server/ingest.h"
#include "server/testing/stream_messages.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr v1::Stream kEvent = v1::STREAM_EVENT;
constexpr v1::Stream kTelemetry = v1::STREAM_TELEMETRY;

class StreamsTest : public testing::Test {
 protected:
  // True: taken.
  bool Events(uint32_t epoch, uint64_t first, uint64_t last) {
    return streams_.Take(EventsOf(epoch, first, last), clock_.Read(), rows_).has_value();
  }
  bool Samples(uint32_t epoch, uint64_t first, uint64_t last) {
    return streams_.Take(SamplesOf(epoch, first, last), clock_.Read(), rows_).has_value();
  }
  bool Report(uint32_t epoch, uint32_t number, const std::vector<v1::EpochAccount>& accounts) {
    return streams_.Take(ReportOf(epoch, number, accounts), clock_.Read(), rows_);
  }
  std::vector<uint64_t> StoredEvents() const {
    std::vector<uint64_t> numbers;
    for (const EventRow& row : rows_.events) numbers.push_back(row.seq);
    return numbers;
  }
  // The identity, and what it is made of.
  void ExpectLedger(v1::Stream stream, uint64_t sent, uint64_t stored, uint64_t dropped, uint64_t in_flight) const {
    const StreamTotals totals = streams_.Totals(stream);
    EXPECT_EQ(totals.sent, sent);
    EXPECT_EQ(totals.stored, stored);
    EXPECT_EQ(totals.dropped_count(), dropped);
    EXPECT_EQ(totals.in_flight(), in_flight);
  }
  // As a restart does: only what was written is known.
  void Restart() {
    DeviceStreams next(kRow);
    std::map<v1::Stream, StreamTotalsRow> totals;
    std::map<std::pair<v1::Stream, uint32_t>, StreamAccountRow> accounts;
    for (const StreamTotalsRow& row : rows_.stream_totals) totals[row.stream] = row;
    for (const StreamAccountRow& row : rows_.stream_accounts) accounts[{row.stream, row.epoch}] = row;
    for (const auto& [stream, row] : totals) next.Restore(row);
    for (const auto& [key, row] : accounts) {
      if (!row.settled) next.Restore(row);
    }
    streams_ = next;
  }

  static constexpr int64_t kRow = 7;
  FakeClock clock_;
  RowBatch rows_;
  DeviceStreams streams_{kRow};
};

TEST_F(StreamsTest, RecordsBecomeRowsWithTheirNumbersAndTimes) {
  v1::EventBatch batch = EventsOf(3, 5, 6);
  batch.set_backlog(true);
  ASSERT_TRUE(streams_.Take(batch, clock_.Read(), rows_));
  ASSERT_THAT(rows_.events, SizeIs(2));
  const EventRow& row = rows_.events[1];
  EXPECT_EQ(row.device_row, kRow);
  EXPECT_EQ(row.epoch, 3u);
  EXPECT_EQ(row.seq, 6u);
  EXPECT_EQ(row.event.name(), "6");
  EXPECT_EQ(row.received_unix_ms, clock_.Read().unix_ms());
  EXPECT_TRUE(row.backlog);
  ASSERT_THAT(rows_.stream_accounts, SizeIs(1)) << "in the same transaction";
}

TEST_F(StreamsTest, WhatComesTwiceIsStoredOnce) {
  EXPECT_TRUE(Events(1, 1, 3));
  EXPECT_TRUE(Events(1, 1, 3)) << "and receipted twice";
  EXPECT_THAT(StoredEvents(), ElementsAre(1, 2, 3));
  EXPECT_EQ(streams_.Totals(kEvent).duplicate, 3u);
  ExpectLedger(kEvent, 3, 3, 0, 0);
}

TEST_F(StreamsTest, OfAnOverlappingBatchOnlyTheRestIsStored) {
  Events(1, 3, 5);
  EXPECT_TRUE(Events(1, 1, 7));
  EXPECT_THAT(StoredEvents(), ElementsAre(3, 4, 5, 1, 2, 6, 7));
}

TEST_F(StreamsTest, AHoleIsInFlightUntilItComes) {
  Events(1, 4, 6);
  ExpectLedger(kEvent, 6, 3, 0, 3);
  Events(1, 1, 3);
  ExpectLedger(kEvent, 6, 6, 0, 0);
}

TEST_F(StreamsTest, StreamsAndEpochsCountApart) {
  Events(1, 1, 2);
  Events(2, 1, 3);
  Samples(1, 1, 4);
  EXPECT_THAT(rows_.events, SizeIs(5));
  ExpectLedger(kEvent, 5, 5, 0, 0);
  ExpectLedger(kTelemetry, 4, 4, 0, 0);
}

TEST_F(StreamsTest, ABatchOfAnOlderLifeIsStored) {
  Report(9, 1, {AccountOf(kEvent, 8, 5, 5), AccountOf(kEvent, 9, 1, 1)});
  EXPECT_TRUE(Events(9, 1, 1));
  EXPECT_TRUE(Events(8, 1, 5));
  EXPECT_THAT(rows_.events, SizeIs(6));
}

TEST_F(StreamsTest, TelemetryThatCameInPartIsCutAndKeepsItsTimes) {
  Samples(1, 3, 4);
  rows_ = {};
  ASSERT_TRUE(Samples(1, 1, 6));
  ASSERT_THAT(rows_.telemetry, SizeIs(2));
  const v1::TelemetryBatch whole = SamplesOf(1, 1, 6);
  for (const TelemetryRow& row : rows_.telemetry) {
    v1::TelemetryBatch part;
    ASSERT_TRUE(part.ParseFromString(row.batch));
    EXPECT_EQ(part.first_seq(), row.first_seq);
    ASSERT_EQ(static_cast<uint64_t>(part.value_size()), row.samples);
    EXPECT_EQ(TimesOf(part).front(), row.first_unix_ms);
    EXPECT_EQ(TimesOf(part).back(), row.last_unix_ms);
    for (int i = 0; i < part.value_size(); ++i) {
      const int at = static_cast<int>(part.first_seq()) - 1 + i;
      EXPECT_EQ(TimesOf(part)[i], TimesOf(whole)[at]);
      EXPECT_EQ(part.value(i), whole.value(at));
      EXPECT_EQ(part.signals(part.signal(i)), whole.signals(whole.signal(at)));
    }
  }
  EXPECT_EQ(rows_.telemetry[0].first_seq, 1u);
  EXPECT_EQ(rows_.telemetry[1].first_seq, 5u);
}

TEST_F(StreamsTest, TimesThatCannotBeAreCutNotRefused) {
  v1::TelemetryBatch batch = SamplesOf(1, 1, 2);
  batch.set_first_unix_ms(std::numeric_limits<uint64_t>::max());
  batch.set_after_ms(1, std::numeric_limits<int64_t>::max());
  ASSERT_TRUE(streams_.Take(batch, clock_.Read(), rows_));
  EXPECT_GE(rows_.telemetry[0].first_unix_ms, 0);
  EXPECT_LE(rows_.telemetry[0].last_unix_ms, kMaxUnixMs);
}

TEST_F(StreamsTest, DroppedRangesFillTheHolesAndNothingElse) {
  Events(1, 1, 2);
  Events(1, 6, 7);
  EXPECT_TRUE(Report(1, 1, {AccountOf(kEvent, 1, 9, 2, {DropOf(v1::DROP_REASON_SPOOL_FULL, 2, 6)})}));
  ExpectLedger(kEvent, 9, 4, 3, 2);
  EXPECT_THAT(streams_.Totals(kEvent).dropped, ElementsAre(Pair(v1::DROP_REASON_SPOOL_FULL, 3)));
  EXPECT_EQ(streams_.Complaint(kEvent), "");
}

TEST_F(StreamsTest, TheFirstReasonStays) {
  Report(1, 1, {AccountOf(kEvent, 1, 4, 0, {DropOf(v1::DROP_REASON_SPOOL_FULL, 1, 2)})});
  Report(1, 2, {AccountOf(kEvent, 1, 4, 0, {DropOf(v1::DROP_REASON_TOO_OLD, 1, 4)})});
  EXPECT_THAT(streams_.Totals(kEvent).dropped,
              ElementsAre(Pair(v1::DROP_REASON_SPOOL_FULL, 2), Pair(v1::DROP_REASON_TOO_OLD, 2)));
}

TEST_F(StreamsTest, WhatWasDroppedAndArrivesAfterAllIsStored) {
  Report(1, 1, {AccountOf(kEvent, 1, 3, 0, {DropOf(v1::DROP_REASON_MEMORY_FULL, 1, 3)})});
  EXPECT_TRUE(Events(1, 2, 2));
  EXPECT_THAT(StoredEvents(), ElementsAre(2));
  ExpectLedger(kEvent, 3, 1, 2, 0);
}

TEST_F(StreamsTest, InFlightAndNotWaitingIsAComplaintUntilAReportAgrees) {
  Events(1, 1, 2);
  Report(1, 1, {AccountOf(kEvent, 1, 5, 2)});
  EXPECT_THAT(streams_.Complaint(kEvent), HasSubstr("3 of 5 records are in flight, but the device has 2"));
  EXPECT_FALSE(streams_.balanced());
  Events(1, 3, 3);
  Report(1, 2, {AccountOf(kEvent, 1, 5, 2)});
  EXPECT_EQ(streams_.Complaint(kEvent), "");
}

TEST_F(StreamsTest, WaitingForReceiptsThatAreUnderWayIsNoFault) {
  Events(1, 1, 5);
  Report(1, 1, {AccountOf(kEvent, 1, 5, 5)});
  EXPECT_TRUE(streams_.balanced());
  EXPECT_EQ(streams_.waiting(kEvent), 5u);
}

TEST_F(StreamsTest, WhatACrashedLifeHadInMemoryIsDroppedWhenNothingOfItWaits) {
  Events(1, 1, 2);
  Events(1, 5, 5);
  EXPECT_TRUE(Report(2, 1, {AccountOf(kEvent, 1, 6, 1), AccountOf(kEvent, 2, 0, 0)}));
  ExpectLedger(kEvent, 6, 3, 0, 3);
  EXPECT_TRUE(streams_.balanced()) << "it may still come";
  Events(1, 3, 3);
  EXPECT_TRUE(Report(2, 2, {AccountOf(kEvent, 1, 6, 0), AccountOf(kEvent, 2, 0, 0)}));
  ExpectLedger(kEvent, 6, 4, 2, 0);
  EXPECT_THAT(streams_.Totals(kEvent).dropped, ElementsAre(Pair(v1::DROP_REASON_CRASH, 2)));
  EXPECT_TRUE(Events(1, 5, 5)) << "a batch of a settled epoch is a duplicate";
  EXPECT_EQ(streams_.Totals(kEvent).duplicate, 1u);
  EXPECT_THAT(StoredEvents(), ElementsAre(1, 2, 5, 3));
}

TEST_F(StreamsTest, AnEpochThatTheDeviceNoLongerKnowsIsSettled) {
  Samples(1, 1, 3);
  Samples(1, 6, 6);
  EXPECT_TRUE(Report(2, 1, {AccountOf(kEvent, 2, 1, 1)}));
  ExpectLedger(kTelemetry, 6, 4, 2, 0);
  EXPECT_THAT(rows_.stream_totals, SizeIs(1));
}

TEST_F(StreamsTest, AYoungerEpochSettlesOnlyAfterTheOlderOne) {
  Report(3, 1, {AccountOf(kEvent, 1, 4, 4), AccountOf(kEvent, 2, 2, 0)});
  EXPECT_TRUE(Events(1, 1, 4)) << "still open";
  EXPECT_THAT(StoredEvents(), ElementsAre(1, 2, 3, 4));
  Report(3, 2, {});
  ExpectLedger(kEvent, 6, 4, 2, 0);
  Restart();
  ExpectLedger(kEvent, 6, 4, 2, 0);
}

TEST_F(StreamsTest, AReportThatWasOvertakenChangesNothing) {
  Report(1, 2, {AccountOf(kEvent, 1, 5, 5)});
  EXPECT_FALSE(Report(1, 1, {AccountOf(kEvent, 1, 2, 0)}));
  EXPECT_EQ(streams_.waiting(kEvent), 5u);
  EXPECT_TRUE(Report(1, 2, {AccountOf(kEvent, 1, 5, 5)})) << "its receipt may have been lost";
}

TEST_F(StreamsTest, ADeviceThatLostItsDiskBeginsAnew) {
  Events(4, 1, 3);
  Events(4, 6, 6);
  Report(4, 1, {AccountOf(kEvent, 4, 6, 2)});
  streams_.DiskLost(1, rows_);
  ExpectLedger(kEvent, 6, 4, 2, 0);
  ASSERT_THAT(rows_.events, SizeIs(5));
  EXPECT_FALSE(rows_.events[3].disk_lost);
  EXPECT_TRUE(rows_.events[4].disk_lost) << "the store is told, behind what came before";
  rows_.events.clear();
  EXPECT_TRUE(Events(1, 1, 2));
  EXPECT_TRUE(Events(4, 1, 3)) << "its fourth life, in time";
  EXPECT_THAT(StoredEvents(), ElementsAre(1, 2, 1, 2, 3));
  EXPECT_TRUE(Report(1, 1, {AccountOf(kEvent, 1, 2, 0)})) << "numbers of reports begin anew too";
  Restart();
  ExpectLedger(kEvent, 11, 9, 2, 0);
}

TEST_F(StreamsTest, ARestartContinuesWithEveryNumber) {
  Events(1, 1, 3);
  Events(1, 7, 8);
  Events(1, 7, 7);
  Report(1, 1, {AccountOf(kEvent, 1, 10, 4, {DropOf(v1::DROP_REASON_TOO_OLD, 4, 4)})});
  Restart();
  ExpectLedger(kEvent, 10, 5, 1, 4);
  EXPECT_EQ(streams_.Totals(kEvent).duplicate, 1u);
  EXPECT_EQ(streams_.waiting(kEvent), 4u);
  EXPECT_EQ(streams_.reported_unix_ms(kEvent), clock_.Read().unix_ms());
  rows_ = {};
  Events(1, 1, 10);
  EXPECT_THAT(StoredEvents(), ElementsAre(4, 5, 6, 9, 10));
}

TEST_F(StreamsTest, RowsThatWereLostAreTakenAgain) {
  Events(1, 1, 2);
  Events(1, 3, 4);
  streams_.Unstore(kEvent, 1, {{3, 4}});
  ExpectLedger(kEvent, 4, 2, 0, 2);
  Events(1, 3, 4);
  EXPECT_THAT(StoredEvents(), ElementsAre(1, 2, 3, 4, 3, 4));
}

TEST_F(StreamsTest, ABatchThatWouldMakeOneGapTooManyWaitsUntilOthersAreClosed) {
  for (uint64_t i = 0; i < DeviceStreams::kMaxRanges; ++i) EXPECT_TRUE(Events(1, 2 + 2 * i, 2 + 2 * i));
  EXPECT_FALSE(Events(1, 5000, 5000));
  EXPECT_TRUE(Events(1, 3, 3)) << "closes a gap";
  EXPECT_TRUE(Events(1, 5000, 5000));
}

TEST_F(StreamsTest, AnEpochTooManyWaitsUntilTheOldestIsSettled) {
  std::vector<v1::EpochAccount> waiting;
  for (uint32_t epoch = 1; epoch <= DeviceStreams::kMaxEpochs; ++epoch) EXPECT_TRUE(Events(epoch, 2, 2));
  EXPECT_FALSE(Events(100, 1, 1));
  for (uint32_t epoch = 2; epoch <= DeviceStreams::kMaxEpochs; ++epoch) {
    waiting.push_back(AccountOf(kEvent, epoch, 2, 1));
  }
  EXPECT_TRUE(Report(99, 1, waiting));
  EXPECT_TRUE(Events(100, 1, 1));
}

TEST_F(StreamsTest, AReportThatDoesNotFitGetsNoReceipt) {
  for (uint32_t epoch = 1; epoch <= DeviceStreams::kMaxEpochs; ++epoch) Events(epoch, 2, 2);
  EXPECT_FALSE(Report(1, 1, {AccountOf(kEvent, 100, 5, 5)}));
}

TEST_F(StreamsTest, ABacklogInOneTurnWritesOneAccount) {
  for (uint64_t i = 0; i < 50; ++i) Samples(1, 1 + 10 * i, 10 + 10 * i);
  EXPECT_THAT(rows_.telemetry, SizeIs(50));
  EXPECT_THAT(rows_.stream_accounts, SizeIs(1));
}

// A device that makes, sends, loses, repeats, restarts and reports; a server that restarts. In the end everything that
// the device has not given up is stored exactly once, and the ledger says how many.
TEST_F(StreamsTest, WhateverHappensEachRecordIsStoredOnceAndTheLedgerBalances) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    streams_ = DeviceStreams(kRow);
    rows_ = {};
    std::map<uint32_t, uint64_t> made;
    std::set<std::pair<uint32_t, uint64_t>> kept;  // by the device, until they are stored
    uint32_t life = 1;
    uint32_t report = 0;
    const auto tell = [&] {
      std::vector<v1::EpochAccount> accounts;
      for (const auto& [epoch, count] : made) {
        const auto begin = kept.lower_bound({epoch, 0});
        const auto end = kept.lower_bound({epoch + 1, 0});
        accounts.push_back(AccountOf(kEvent, epoch, count, static_cast<uint64_t>(std::distance(begin, end))));
      }
      ASSERT_TRUE(Report(life, ++report, accounts));
      ASSERT_TRUE(streams_.balanced()) << streams_.Complaint(kEvent) << " seed " << seed;
    };
    for (int step = 0; step < 60; ++step) {
      switch (random() % 6) {
        case 0: {
          for (int i = 0; i < 5; ++i) kept.insert({life, ++made[life]});
          break;
        }
        case 1: {  // it crashes, and some were in memory only
          std::erase_if(kept, [&](const auto& record) { return record.first == life && random() % 3 == 0; });
          ++life;
          report = 0;
          break;
        }
        case 2:
          tell();
          break;
        case 3:
          Restart();
          break;
        default: {  // a batch arrives; its receipt may get lost
          if (kept.empty()) break;
          auto at = kept.begin();
          std::advance(at, random() % kept.size());
          const auto [epoch, seq] = *at;
          ASSERT_TRUE(Events(epoch, seq, seq));
          if (random() % 3 != 0) kept.erase({epoch, seq});
        }
      }
    }
    for (const auto& [epoch, seq] : kept) Events(epoch, seq, seq);
    kept.clear();
    ++life;
    report = 0;
    tell();
    std::set<std::pair<uint32_t, uint64_t>> stored;
    for (const EventRow& row : rows_.events) {
      ASSERT_TRUE(stored.insert({row.epoch, row.seq}).second) << "twice, seed " << seed;
    }
    uint64_t all = 0;
    for (const auto& [epoch, count] : made) all += count;
    const StreamTotals totals = streams_.Totals(kEvent);
    EXPECT_EQ(totals.sent, all) << "seed " << seed;
    EXPECT_EQ(totals.stored, stored.size()) << "seed " << seed;
    EXPECT_EQ(totals.in_flight(), 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace fleet::server
