// The durable streams in the database: stored once, over restarts and over upgrades.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"
#include "common/testing/temp_dir.h"
#include "server/store.h"
#include "server/store_reader.h"
#include "server/telemetry_slice.h"
#include "server/testing/sample_rows.h"
#include "server/testing/schema_v1.h"
#include "server/testing/stream_messages.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

using ::testing::SizeIs;

constexpr int64_t kNow = 1'760'000'000'000;
constexpr int64_t kHourMs = 3'600'000;

class StoreStreamsTest : public testing::Test {
 protected:
  std::unique_ptr<Store> OpenOrDie() {
    auto store = Store::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  SavedFleet LoadOrDie(const Boot& boot = {}) {
    auto fleet = OpenOrDie()->Load(boot);
    EXPECT_TRUE(fleet.ok()) << fleet.status();
    return *std::move(fleet);
  }
  void WriteOrDie(const RowBatch& batch) {
    const absl::Status status = OpenOrDie()->Write({batch});
    ASSERT_TRUE(status.ok()) << status;
  }
  int64_t Query(const std::string& sql) {
    auto database = Database::Open(path_, Database::Mode::kReadOnly);
    auto query = (*database)->Prepare(sql);
    EXPECT_TRUE(query.ok()) << query.status();
    EXPECT_TRUE(*query->Step());
    return query->Int(0);
  }
  void Exec(const std::string& sql) {
    auto database = Database::Open(path_, Database::Mode::kReadWrite);
    ASSERT_TRUE(database.ok()) << database.status();
    const absl::Status status = (*database)->Exec(sql);
    ASSERT_TRUE(status.ok()) << status;
  }

  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
  FakeClock clock_;
};

void Say(TestFleet& fleet, const v1::EventBatch& batch) {
  fleet.Apply(EventBatchEvent{"a", &batch});
}
void Say(TestFleet& fleet, const v1::TelemetryBatch& batch) {
  fleet.Apply(TelemetryEvent{"a", &batch});
}
void Say(TestFleet& fleet, const v1::LedgerReport& report) {
  fleet.Apply(LedgerEvent{"a", &report});
}

TEST_F(StoreStreamsTest, WhatComesAgainAfterARestartIsStoredOnce) {
  TestFleet before(clock_, LoadOrDie());
  Say(before, EventsOf(1, 1, 5));
  Say(before, SamplesOf(1, 1, 8));
  WriteOrDie(before.TakeRows());

  TestFleet after(clock_, LoadOrDie());
  Say(after, EventsOf(1, 1, 5));
  Say(after, EventsOf(1, 4, 7));
  Say(after, SamplesOf(1, 1, 10));
  WriteOrDie(after.TakeRows());

  EXPECT_EQ(Query("SELECT count(*) FROM event"), 7);
  EXPECT_EQ(Query("SELECT count(DISTINCT seq) FROM event"), 7);
  EXPECT_EQ(Query("SELECT sum(samples) FROM telemetry"), 10);
}

TEST_F(StoreStreamsTest, WhatWasNotCommittedIsTakenAgain) {
  TestFleet before(clock_, LoadOrDie());
  Say(before, EventsOf(1, 1, 5));
  WriteOrDie(before.TakeRows());
  Say(before, EventsOf(1, 6, 9));  // and the server dies before it is written

  TestFleet after(clock_, LoadOrDie());
  Say(after, EventsOf(1, 6, 9));
  WriteOrDie(after.TakeRows());
  EXPECT_EQ(Query("SELECT count(*) FROM event"), 9);
}

TEST_F(StoreStreamsTest, AccountsAndTotalsContinue) {
  TestFleet before(clock_, LoadOrDie());
  Say(before, EventsOf(1, 1, 3));
  Say(before, EventsOf(1, 1, 3));
  Say(before, ReportOf(2, 1, {AccountOf(v1::STREAM_EVENT, 1, 5, 0, {DropOf(v1::DROP_REASON_TOO_OLD, 4, 4)})}));
  Say(before, SamplesOf(2, 4, 6));
  Say(before, ReportOf(2, 2, {AccountOf(v1::STREAM_TELEMETRY, 2, 9, 6, {DropOf(v1::DROP_REASON_SPOOL_FULL, 1, 2)})}));
  WriteOrDie(before.TakeRows());
  EXPECT_EQ(Query("SELECT count(*) FROM stream_account"), 1) << "the settled one is gone";

  TestFleet after(clock_, LoadOrDie());
  for (v1::Stream stream : DeviceStreams::kStreams) {
    const StreamTotals a = before.state.streams().Totals(stream);
    const StreamTotals b = after.state.streams().Totals(stream);
    EXPECT_EQ(a.sent, b.sent);
    EXPECT_EQ(a.stored, b.stored);
    EXPECT_EQ(a.duplicate, b.duplicate);
    EXPECT_EQ(a.dropped, b.dropped);
    EXPECT_EQ(b.sent, b.stored + b.dropped_count() + b.in_flight());
  }
  const DeviceStreams& streams = *after.state.streams().Find(0);
  EXPECT_EQ(streams.waiting(v1::STREAM_TELEMETRY), 6u);
  EXPECT_EQ(streams.Totals(v1::STREAM_EVENT).sent, 5u);
  Say(after, EventsOf(1, 1, 3));
  EXPECT_EQ(after.state.streams().Totals(v1::STREAM_EVENT).duplicate, 6u) << "the epoch stays settled";
}

TEST_F(StoreStreamsTest, ADamagedAccountIsNotReadAsAnEmptyOne) {
  LoadOrDie();
  Exec("INSERT INTO stream_account VALUES (1, 1, 1, 5, 0, 0, 0, x'ff')");
  EXPECT_TRUE(absl::IsDataLoss(OpenOrDie()->Load({}).status()));
}

TEST_F(StoreStreamsTest, EventsAreListedNewestFirstByPages) {
  TestFleet fleet(clock_, LoadOrDie());
  v1::EventBatch batch = EventsOf(3, 1, 5);
  batch.set_backlog(true);
  batch.mutable_events(4)->set_kind(v1::EVENT_KIND_FAIL_SAFE_ON);
  batch.mutable_events(4)->set_entity_id(7);
  Say(fleet, batch);
  const v1::EventBatch other = EventsOf(1, 1, 1);
  fleet.Apply(EventBatchEvent{"b", &other});
  WriteOrDie(fleet.TakeRows());

  auto reader = StoreReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->Events("", 1000, 100)->events_size(), 6);
  const v1::EventList page = *(*reader)->Events("a", 1000, 2);
  ASSERT_EQ(page.events_size(), 2);
  const v1::EventView& newest = page.events(0);
  EXPECT_EQ(newest.device_id(), "a");
  EXPECT_EQ(newest.epoch(), 3u);
  EXPECT_EQ(newest.seq(), 5);
  EXPECT_EQ(newest.kind(), "fail_safe_on");
  EXPECT_EQ(newest.entity_id(), 7u);
  EXPECT_EQ(newest.name(), "5");
  EXPECT_EQ(newest.at_unix_ms(), 5000);
  EXPECT_EQ(newest.received_unix_ms(), static_cast<double>(clock_.Read().unix_ms()));
  EXPECT_TRUE(newest.backlog());
  const v1::EventList next = *(*reader)->Events("a", std::stoll(page.next_cursor()), 100);
  ASSERT_EQ(next.events_size(), 3);
  EXPECT_EQ(next.events(0).seq(), 3);
  EXPECT_EQ(next.next_cursor(), "");
  EXPECT_TRUE(absl::IsNotFound((*reader)->Events("none", 1000, 10).status()));
}

TEST_F(StoreStreamsTest, TheQuarantineKeepsTheNewestThousand) {
  RowBatch batch;
  for (int i = 1; i <= 1200; ++i) {
    batch.quarantine.push_back({.received_unix_ms = kNow,
                                .topic = std::string("rpi/\xff", 5),
                                .reason = "parse",
                                .detail = absl::StrCat(i),
                                .payload = std::string("\0x", 2),
                                .payload_bytes = 9000});
  }
  WriteOrDie(batch);
  EXPECT_EQ(Query("SELECT count(*) FROM quarantine"), 1000);
  auto reader = StoreReader::Open(path_);
  const v1::QuarantineList list = *(*reader)->Quarantine(1'000'000, 1);
  ASSERT_EQ(list.messages_size(), 1);
  EXPECT_EQ(list.messages(0).detail(), "1200");
  EXPECT_EQ(list.messages(0).topic(), "rpi/\\xff");
  EXPECT_EQ(list.messages(0).payload(), std::string("\0x", 2));
  EXPECT_EQ(list.messages(0).payload_bytes(), 9000);
  EXPECT_EQ((*reader)->Quarantine(std::stoll(list.next_cursor()), 1)->messages(0).detail(), "1199");
}

// An event, and samples of some 11 bytes each.
RowBatch StreamRowsAt(int64_t unix_ms, uint64_t number, uint64_t samples) {
  const NumberRange range{number, number + samples - 1};
  TelemetryRow row = SliceTelemetry(SamplesOf(1, range.first, range.last), range);
  row.device_row = 1;
  row.received_unix_ms = unix_ms;
  return {.events = {{.device_row = 1, .epoch = 1, .seq = number, .event = {}, .received_unix_ms = unix_ms}},
          .telemetry = {row}};
}

TEST_F(StoreStreamsTest, OldEventsAndTelemetryAreDeletedAndAccountsAreNot) {
  auto store = OpenOrDie();
  RowBatch account{.stream_accounts = {{.device_row = 1, .stream = v1::STREAM_EVENT, .epoch = 1}}};
  ASSERT_TRUE(store->Write({StreamRowsAt(kNow - 2 * kHourMs, 1, 1), StreamRowsAt(kNow, 2, 1), account}).ok());
  while (*store->Prune({.keep = absl::Hours(1)}, kNow)) continue;
  EXPECT_EQ(Query("SELECT sum(seq) FROM event"), 2);
  EXPECT_EQ(Query("SELECT sum(first_seq) FROM telemetry"), 2);
  EXPECT_EQ(Query("SELECT count(*) FROM stream_account"), 1);
}

TEST_F(StoreStreamsTest, OverTheSizeTheOldestTelemetryGoesWithTheEventsOfItsTime) {
  auto store = OpenOrDie();
  std::vector<RowBatch> batches;
  for (int i = 0; i < 8000; ++i) batches.push_back(StreamRowsAt(kNow - 8000 + i, static_cast<uint64_t>(i), 90));
  ASSERT_TRUE(store->Write(batches).ok());
  while (*store->Prune({.keep_bytes = 4 << 20}, kNow)) continue;
  const int64_t kept = Query("SELECT count(*) FROM telemetry");
  EXPECT_GT(kept, 1000);
  EXPECT_LT(kept, 5000);
  EXPECT_EQ(Query("SELECT min(first_seq) FROM telemetry"), 8000 - kept) << "the oldest went";
  const int64_t events = Query("SELECT count(*) FROM event");
  EXPECT_GE(events, kept);
  EXPECT_LE(events, kept + 2000) << "a step behind";
}

// ---- the steady clock

TEST_F(StoreStreamsTest, WithinABootTheSteadyClockGoesOnWhateverTheWallClockDoes) {
  const int64_t offset_ms = *LoadOrDie({.id = 5, .now = clock_}).steady_offset_ms;
  EXPECT_EQ(offset_ms, clock_.Read().unix_ms() - clock_.Read().mono.millis());
  clock_.JumpWall(absl::Hours(-1));
  EXPECT_EQ(*LoadOrDie({.id = 5, .now = clock_}).steady_offset_ms, offset_ms);
}

TEST_F(StoreStreamsTest, AfterAnotherBootTheSteadyClockIsNotBeforeTheLastCommand) {
  LoadOrDie({.id = 5, .now = clock_});
  const int64_t ahead_unix_ms = clock_.Read().unix_ms() + kHourMs;
  WriteOrDie({.commands = {SampleCommand(1, 1, ahead_unix_ms)}});
  EXPECT_EQ(*LoadOrDie({.id = 6, .now = clock_}).steady_offset_ms, ahead_unix_ms + 1 - clock_.Read().mono.millis());
}

TEST_F(StoreStreamsTest, ABootThatIsNotKnownIsNeverTheSame) {
  const int64_t offset_ms = *LoadOrDie({.id = 0, .now = clock_}).steady_offset_ms;
  clock_.JumpWall(absl::Hours(1));
  EXPECT_EQ(*LoadOrDie({.id = 0, .now = clock_}).steady_offset_ms, offset_ms + kHourMs);
}

TEST_F(StoreStreamsTest, TheBootIdIsTheSameUntilItChanges) {
  dir_.Write("one", "5a7f1d1e-0000-4000-8000-1234567890ab\n");
  dir_.Write("two", "5a7f1d1e-0000-4000-8000-1234567890ac\n");
  const int64_t one = ReadBootId(dir_.File("one"));
  EXPECT_GT(one, 0);
  EXPECT_EQ(ReadBootId(dir_.File("one")), one);
  EXPECT_NE(ReadBootId(dir_.File("two")), one);
  EXPECT_EQ(ReadBootId(dir_.File("none")), 0);
}

// ---- from version 1

TEST_F(StoreStreamsTest, ADatabaseOfVersionOneIsBroughtUpToDate) {
  v1::Segment segment;
  segment.set_entity_id(7);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  std::string hex;
  for (const char c : segment.SerializeAsString())
    absl::StrAppend(&hex, absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  Exec(absl::StrCat(kSchemaV1,
                    "INSERT INTO meta VALUES ('server_epoch', 4), ('first_command', 100);"
                    "INSERT INTO device VALUES (1, 'a', 3, 9, '1.0', 'online', '', 5, 6);"
                    "INSERT INTO command VALUES (100, 1, x'",
                    hex, "', 1000, 5000, 1), (101, 1, x'", hex,
                    "', 1001, 5001, 0);"
                    "INSERT INTO command_step VALUES (101, 0, 1, '', '', 1, 0);"
                    "PRAGMA application_id = 1181508965; PRAGMA user_version = 1"));

  const SavedFleet fleet = LoadOrDie();
  EXPECT_EQ(Query("PRAGMA user_version"), 3);
  EXPECT_EQ(fleet.server_epoch, 5u);
  EXPECT_EQ(Number(fleet.next_command), 102u + 4096);
  ASSERT_THAT(fleet.devices, SizeIs(1));
  ASSERT_THAT(fleet.open_commands, SizeIs(1));
  const SavedCommand& open = fleet.open_commands[0];
  EXPECT_EQ(open.row.id, CommandId{101});
  EXPECT_EQ(open.row.ttl_ms, 5001);
  ASSERT_TRUE(std::holds_alternative<v1::Segment>(open.row.body));
  EXPECT_EQ(std::get<v1::Segment>(open.row.body).entity_id(), 7u);
  EXPECT_THAT(open.steps, SizeIs(1));
  EXPECT_EQ(Query("SELECT count(*) FROM command"), 2);

  // As one that was made anew.
  const TempDir fresh;
  ASSERT_TRUE(Store::Open(fresh.File("fleet.db")).ok());
  auto reader = StoreReader::Open(path_);
  EXPECT_EQ((*reader)->ListCommands("a", CommandId{1000}, 10)->size(), 2u);
  const std::string layout = "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'";
  auto other = Database::Open(fresh.File("fleet.db"), Database::Mode::kReadOnly);
  auto query = (*other)->Prepare(layout);
  ASSERT_TRUE(*query->Step());
  EXPECT_EQ(Query(layout), query->Int(0));
  EXPECT_EQ(Query("SELECT count(*) FROM sqlite_master WHERE name IN ('command_open', 'command_of_device') AND "
                  "tbl_name = 'command'"),
            2);
}

TEST_F(StoreStreamsTest, AnUpgradeThatIsCutShortLeavesTheOldDatabase) {
  Exec(absl::StrCat(kSchemaV1,
                    "INSERT INTO meta VALUES ('server_epoch', 4), ('first_command', 100);"
                    "CREATE VIEW command_of_1 AS SELECT 1;"  // in the way
                    "PRAGMA application_id = 1181508965; PRAGMA user_version = 1"));
  EXPECT_FALSE(Store::Open(path_).ok());
  EXPECT_EQ(Query("PRAGMA user_version"), 1);
  EXPECT_EQ(Query("SELECT count(*) FROM pragma_table_info('command') WHERE name = 'segment'"), 1);
}

}  // namespace
}  // namespace fleet::server
