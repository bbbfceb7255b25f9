#include "server/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/testing/fake_clock.h"
#include "common/testing/temp_dir.h"
#include "server/testing/can_messages.h"
#include "server/testing/modbus_messages.h"
#include "server/testing/sample_rows.h"
#include "server/testing/test_fleet.h"
#include "server/views.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'760'000'000'000;
constexpr int64_t kHourMs = 3'600'000;

class StoreTest : public testing::Test {
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
  // As another program sees the file.
  int64_t Query(const std::string& sql) {
    auto database = Database::Open(path_, Database::Mode::kReadOnly);
    EXPECT_TRUE(database.ok()) << database.status();
    auto query = (*database)->Prepare(sql);
    EXPECT_TRUE(query.ok()) << query.status();
    EXPECT_TRUE(*query->Step());
    return query->Int(0);
  }
  void Exec(const std::string& sql) {
    auto database = Database::Open(path_, Database::Mode::kReadWrite);
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_TRUE((*database)->Exec(sql).ok());
  }
  int64_t UsedBytes() {
    return (Query("PRAGMA page_count") - Query("PRAGMA freelist_count")) * Query("PRAGMA page_size");
  }
  // What opening says; the file must not have changed by it.
  absl::Status Refusal() {
    const std::string before = ReadFile(path_);
    const absl::Status status = Store::Open(path_).status();
    EXPECT_TRUE(ReadFile(path_) == before) << "the file was changed";
    return status;
  }

  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
};

// Returns the number of steps that it took.
int PruneAll(Store& store, const Store::Retention& retention) {
  for (int steps = 1;; ++steps) {
    const auto more = store.Prune(retention, kNow);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) return steps;
  }
}

void ExpectEqual(const SequenceTracker::Saved& a, const SequenceTracker::Saved& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.highest, b.highest);
  EXPECT_EQ(a.seen, b.seen);
  EXPECT_EQ(a.expected, b.expected);
  EXPECT_EQ(a.stored, b.stored);
  EXPECT_EQ(a.duplicate, b.duplicate);
  EXPECT_EQ(a.reordered, b.reordered);
}

void ExpectEqual(const EntityRow& a, const EntityRow& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.x_mm, b.x_mm);
  EXPECT_EQ(a.y_mm, b.y_mm);
  EXPECT_EQ(a.angle_mdeg, b.angle_mdeg);
  EXPECT_EQ(a.vx_mm_s, b.vx_mm_s);
  EXPECT_EQ(a.vy_mm_s, b.vy_mm_s);
  EXPECT_EQ(a.received_unix_ms, b.received_unix_ms);
}

void ExpectEqual(const CommandStepRow& a, const CommandStepRow& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.number, b.number);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.reason, b.reason);
  EXPECT_EQ(a.detail, b.detail);
  EXPECT_EQ(a.at_unix_ms, b.at_unix_ms);
  EXPECT_EQ(a.since_issue_ms, b.since_issue_ms);
}

TEST_F(StoreTest, DevicesComeBackAsTheyWere) {
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min();
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  DeviceRow row = SampleDevice(3, "rpi-1");
  row.epoch = std::numeric_limits<uint32_t>::max();
  row.started_unix_ms = kNow;
  row.liveness = {LivenessState::kOffline, OfflineReason::kReplaced};
  row.state_since_unix_ms = kNow + 1;
  row.last_seen_unix_ms = kNow + 2;
  row.heartbeats = {.epoch = 9,
                    .highest = 4'000'000'000,
                    .seen = ~uint64_t{0},
                    .expected = uint64_t{1} << 40,
                    .stored = (uint64_t{1} << 40) - 5,
                    .duplicate = 3,
                    .reordered = 4};
  row.states = {.epoch = 9, .highest = 64, .seen = (uint64_t{1} << 63) | 1, .expected = 64, .stored = 2};
  row.entities = {{.id = EntityId{1},
                   .x_mm = kMin,
                   .y_mm = kMax,
                   .angle_mdeg = -1,
                   .vx_mm_s = kMin,
                   .vy_mm_s = kMax,
                   .received_unix_ms = kNow},
                  {.id = EntityId{4'294'967'295}, .x_mm = 5, .received_unix_ms = kNow - 1}};
  ASSERT_TRUE(OpenOrDie()->Write({{.number = 1, .devices = {row, SampleDevice(4, "rpi-2")}}}).ok());

  const SavedFleet fleet = LoadOrDie();
  ASSERT_THAT(fleet.devices, SizeIs(2));
  const DeviceRow& back = fleet.devices[0];
  EXPECT_EQ(back.device_row, 3);
  EXPECT_EQ(back.id, row.id);
  EXPECT_EQ(back.epoch, row.epoch);
  EXPECT_EQ(back.started_unix_ms, row.started_unix_ms);
  EXPECT_EQ(back.version, "1.2.3");
  EXPECT_EQ(back.liveness.state, LivenessState::kOffline);
  EXPECT_EQ(back.liveness.reason, OfflineReason::kReplaced);
  EXPECT_EQ(back.state_since_unix_ms, row.state_since_unix_ms);
  EXPECT_EQ(back.last_seen_unix_ms, row.last_seen_unix_ms);
  ExpectEqual(back.heartbeats, row.heartbeats);
  ExpectEqual(back.states, row.states);
  ASSERT_THAT(back.entities, SizeIs(2));
  ExpectEqual(back.entities[0], row.entities[0]);
  ExpectEqual(back.entities[1], row.entities[1]);
  EXPECT_EQ(fleet.devices[1].id.view(), "rpi-2");
  EXPECT_THAT(fleet.devices[1].entities, IsEmpty());
}

TEST_F(StoreTest, ALaterRowReplacesWhatItSaysAndKeepsOtherEntities) {
  DeviceRow row = SampleDevice(1, "a");
  row.entities = {{.id = EntityId{1}, .x_mm = 10}, {.id = EntityId{2}, .x_mm = 20}};
  auto store = OpenOrDie();
  ASSERT_TRUE(store->Write({{.devices = {row}}}).ok());
  row.epoch = 2;
  row.liveness.state = LivenessState::kOnline;
  row.entities = {{.id = EntityId{2}, .x_mm = 21}};
  row.states.seen = 7;
  ASSERT_TRUE(store->Write({{.devices = {row}}}).ok());
  store.reset();

  const SavedFleet fleet = LoadOrDie();
  ASSERT_THAT(fleet.devices, SizeIs(1));
  EXPECT_EQ(fleet.devices[0].epoch, 2u);
  EXPECT_EQ(fleet.devices[0].liveness.state, LivenessState::kOnline);
  EXPECT_EQ(fleet.devices[0].states.seen, 7u);
  ASSERT_THAT(fleet.devices[0].entities, SizeIs(2));
  EXPECT_EQ(fleet.devices[0].entities[0].x_mm, 10);
  EXPECT_EQ(fleet.devices[0].entities[1].x_mm, 21);
}

TEST_F(StoreTest, CommandsComeBackWithTheirStepsUnlessNothingFollows) {
  const std::vector<CommandStepRow> steps = {
      SampleStep(11, 0, v1::COMMAND_STATE_QUEUED), SampleStep(11, 1, v1::COMMAND_STATE_SENT),
      SampleStep(11, 2, v1::COMMAND_STATE_UNKNOWN), SampleStep(11, 3, v1::COMMAND_STATE_RUNNING)};
  RowBatch batch{.devices = {SampleDevice(1, "a")},
                 .commands = {SampleCommand(10, 1), SampleCommand(11, 1), SampleCommand(12, 1)},
                 .steps = steps};
  batch.steps.push_back(SampleStep(10, 0, v1::COMMAND_STATE_DONE));
  batch.steps.push_back(SampleStep(12, 0, v1::COMMAND_STATE_UNKNOWN));
  batch.commands.push_back(SampleCommand(13, 1));
  batch.steps.push_back(SampleStep(13, 0, v1::COMMAND_STATE_UNKNOWN));
  batch.given_up = {CommandId{12}};
  ASSERT_TRUE(OpenOrDie()->Write({batch}).ok());

  const SavedFleet fleet = LoadOrDie();
  ASSERT_THAT(fleet.open_commands, SizeIs(2));
  EXPECT_EQ(fleet.open_commands[1].row.id, CommandId{13}) << "unknown, and still asked about";
  const SavedCommand& command = fleet.open_commands[0];
  EXPECT_EQ(command.row.id, CommandId{11});
  EXPECT_EQ(command.row.device_row, 1);
  EXPECT_EQ(command.row.issued_unix_ms, 1000);
  EXPECT_EQ(command.row.ttl_ms, 5000);
  EXPECT_EQ(std::get<v1::Segment>(command.row.body).SerializeAsString(),
            std::get<v1::Segment>(batch.commands[1].body).SerializeAsString());
  ASSERT_THAT(command.steps, SizeIs(4));
  for (size_t i = 0; i < steps.size(); ++i) ExpectEqual(command.steps[i], steps[i]);
}

TEST_F(StoreTest, EveryKindOfCommandComesBackAsItWas) {
  v1::Cancel cancel;
  cancel.set_command_id(3);
  const std::vector<CommandBody> bodies = {SampleCommand(1, 1).body, cancel,    SendOf({"123#1122"}),
                                           TapOf({"123"}),           ClearOf(), CallOf(kModbusWrite, "ann")};
  ASSERT_THAT(bodies, SizeIs(std::variant_size_v<CommandBody>));
  RowBatch batch{.devices = {SampleDevice(1, "a")}};
  for (size_t i = 0; i < bodies.size(); ++i) {
    batch.commands.push_back(SampleCommand(i + 1, 1));
    batch.commands.back().body = bodies[i];
  }
  ASSERT_TRUE(OpenOrDie()->Write({batch}).ok());
  const SavedFleet fleet = LoadOrDie();
  ASSERT_THAT(fleet.open_commands, SizeIs(bodies.size()));
  const auto bytes = [](const CommandBody& body) {
    return std::visit([](const auto& b) { return b.SerializeAsString(); }, body);
  };
  for (size_t i = 0; i < bodies.size(); ++i) {
    EXPECT_EQ(fleet.open_commands[i].row.body.index(), i);
    EXPECT_EQ(bytes(fleet.open_commands[i].row.body), bytes(bodies[i]));
  }
}

TEST_F(StoreTest, LivenessChangesAndBlocksAreRows) {
  DeviceRow row = SampleDevice(1, "a");
  row.block = SampleBlock(kNow, 1, 3, {1});
  const LivenessRow change{
      .device_row = 1, .status = {LivenessState::kOffline, OfflineReason::kLost}, .at_unix_ms = kNow};
  ASSERT_TRUE(OpenOrDie()->Write({{.devices = {row}, .liveness = {change}}}).ok());
  EXPECT_EQ(Query(absl::StrCat("SELECT count(*) FROM liveness WHERE device=1 AND state='offline' AND reason='lost' "
                               "AND at_unix_ms=",
                               kNow)),
            1);
  EXPECT_EQ(Query(absl::StrCat("SELECT count(*) FROM state_history WHERE device=1 AND reports=3 AND first_unix_ms=",
                               kNow, " AND last_unix_ms=", kNow + 200)),
            1);
}

TEST_F(StoreTest, EveryLoadIsAnotherEpoch) {
  EXPECT_EQ(LoadOrDie().server_epoch, 1u);
  EXPECT_EQ(LoadOrDie().server_epoch, 2u);
  EXPECT_EQ(LoadOrDie().server_epoch, 3u);
}

// A stop goes out before it is stored; a crash then leaves ids that only devices know.
TEST_F(StoreTest, EachStartLeavesOutIds) {
  const uint64_t first = Number(LoadOrDie().next_command);
  EXPECT_GE(first, 4096u);
  EXPECT_EQ(Number(LoadOrDie().next_command), first + 4096) << "also when nothing was stored";
  ASSERT_TRUE(OpenOrDie()->Write({{.commands = {SampleCommand(first + 9000, 1)}}}).ok());
  EXPECT_EQ(Number(LoadOrDie().next_command), first + 9001 + 4096);
}

// A device remembers the ids that it has run and refuses them.
TEST_F(StoreTest, IdsAreNotGivenAgainAfterTheirCommandsArePruned) {
  const uint64_t id = Number(LoadOrDie().next_command) + 20'000;
  auto store = OpenOrDie();
  ASSERT_TRUE(
      store->Write({{.commands = {SampleCommand(id, 1)}, .steps = {SampleStep(id, 0, v1::COMMAND_STATE_DONE)}}}).ok());
  PruneAll(*store, {});
  store.reset();
  ASSERT_EQ(Query("SELECT count(*) FROM command"), 0);
  EXPECT_GT(Number(LoadOrDie().next_command), id);
}

TEST_F(StoreTest, ABatchThatFailsLeavesNothingAndTheStoreWorksOn) {
  auto store = OpenOrDie();
  ASSERT_TRUE(store->Write({{.commands = {SampleCommand(5, 1)}}}).ok());
  const absl::Status status =
      store->Write({{.devices = {SampleDevice(1, "a")}}, {.commands = {SampleCommand(6, 1), SampleCommand(5, 1)}}});
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(Query("SELECT count(*) FROM device"), 0);
  EXPECT_EQ(Query("SELECT count(*) FROM command"), 1);
  EXPECT_TRUE(store->Write({{.devices = {SampleDevice(1, "a")}}}).ok());
  EXPECT_EQ(Query("SELECT count(*) FROM device"), 1);
}

TEST_F(StoreTest, WhatWasCommittedIsThereAfterACrash) {
  auto store = OpenOrDie();
  ASSERT_TRUE(store->Write({{.devices = {SampleDevice(1, "a")}}}).ok());
  // What a crash leaves: the file and its log, as they are now.
  const TempDir after;
  std::filesystem::copy(path_, after.File("fleet.db"));
  std::filesystem::copy(path_ + "-wal", after.File("fleet.db-wal"));
  auto opened = Store::Open(after.File("fleet.db"));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_THAT((*opened)->Load({})->devices, SizeIs(1));
}

TEST_F(StoreTest, AnEmptyFileBecomesADatabase) {
  dir_.Write(Store::kFileName, "");
  EXPECT_EQ(LoadOrDie().server_epoch, 1u);
}

TEST_F(StoreTest, ANewerSchemaIsRefusedAndLeftAsItIs) {
  OpenOrDie();
  Exec("PRAGMA user_version = 99");
  const absl::Status status = Refusal();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema version 99"));
}

TEST_F(StoreTest, ADatabaseOfAnotherProgramIsRefusedAndLeftAsItIs) {
  Exec("PRAGMA journal_mode = DELETE; CREATE TABLE cats (name)");
  for (int version : {0, 1, 7}) {
    Exec(absl::StrCat("PRAGMA journal_mode = DELETE; PRAGMA user_version = ", version));
    const absl::Status status = Refusal();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("another program")) << version;
  }
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsRefusedWithAdvice) {
  dir_.Write(Store::kFileName, std::string(5000, 'x'));
  const absl::Status status = Refusal();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  EXPECT_THAT(std::string(status.message()), HasSubstr(".recover"));
}

TEST_F(StoreTest, ADamagedPageIsRefusedWithAdviceAndLeftAsItIs) {
  {
    auto store = OpenOrDie();
    RowBatch batch;
    for (int i = 1; i <= 500; ++i) batch.devices.push_back(SampleDevice(i, absl::StrCat("device-", i)));
    ASSERT_TRUE(store->Write({batch}).ok());
  }
  std::string bytes = ReadFile(path_);
  const auto page_bytes = static_cast<size_t>(Query("PRAGMA page_size"));
  for (size_t at = bytes.size() / page_bytes / 2 * page_bytes, end = at + 200; at < end; ++at) bytes[at] = '\x5a';
  dir_.Write(Store::kFileName, bytes);
  const absl::Status status = Refusal();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("Put back a backup"));
}

TEST_F(StoreTest, ADirectoryThatIsNotThereIsUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(Store::Open(dir_.File("none/fleet.db")).status()));
}

RowBatch OneOfEach(uint64_t id, int64_t at_unix_ms) {
  DeviceRow device = SampleDevice(1, "a");
  device.block = SampleBlock(at_unix_ms, 1, 1, {1});
  return {.devices = {device},
          .liveness = {{.device_row = 1, .status = {}, .at_unix_ms = at_unix_ms}},
          .commands = {SampleCommand(id, 1, at_unix_ms)},
          .steps = {SampleStep(id, 0, v1::COMMAND_STATE_DONE)}};
}

TEST_F(StoreTest, HistoryOlderThanItsAgeIsDeleted) {
  auto store = OpenOrDie();
  ASSERT_TRUE(store
                  ->Write({OneOfEach(1, kNow - 2 * kHourMs),
                           OneOfEach(2, kNow - kHourMs + 1),
                           OneOfEach(3, kNow),
                           {.commands = {SampleCommand(4, 1, kNow - 2 * kHourMs)},  // has no end
                            .steps = {SampleStep(4, 0, v1::COMMAND_STATE_RUNNING)}}})
                  .ok());
  PruneAll(*store, {.keep = absl::Hours(1)});
  EXPECT_EQ(Query("SELECT count(*) FROM state_history"), 2);
  EXPECT_EQ(Query("SELECT count(*) FROM liveness"), 2);
  EXPECT_EQ(Query("SELECT sum(1 << id) FROM command"), 1 << 2 | 1 << 3 | 1 << 4);
  EXPECT_EQ(Query("SELECT sum(1 << command) FROM command_step"), 1 << 2 | 1 << 3 | 1 << 4);
  EXPECT_EQ(Query("SELECT count(*) FROM device"), 1);
}

TEST_F(StoreTest, PruningGoesInSmallSteps) {
  auto store = OpenOrDie();
  RowBatch old;
  for (int i = 0; i < 10'000; ++i) old.liveness.push_back({.device_row = 1, .status = {}, .at_unix_ms = 1});
  ASSERT_TRUE(store->Write({old}).ok());
  EXPECT_TRUE(*store->Prune({}, kNow));
  EXPECT_GE(Query("SELECT count(*) FROM liveness"), 7'500);
  EXPECT_GE(PruneAll(*store, {}), 3);
  EXPECT_EQ(Query("SELECT count(*) FROM liveness"), 0);
}

TEST_F(StoreTest, OverTheSizeTheOldestStatesGo) {
  constexpr int64_t kKeepBytes = 4 << 20;
  auto store = OpenOrDie();
  RowBatch batch;
  for (int i = 0; i < 8000; ++i) {
    batch.devices.push_back(SampleDevice(1, "a"));
    batch.devices.back().block = {
        .first_unix_ms = kNow + i, .last_unix_ms = kNow + i, .count = 1, .samples = std::string(1000, 's')};
  }
  ASSERT_TRUE(store->Write({batch}).ok());
  ASSERT_GT(UsedBytes(), 8 << 20);
  PruneAll(*store, {.keep_bytes = kKeepBytes});
  EXPECT_LE(UsedBytes(), kKeepBytes);
  EXPECT_GT(UsedBytes(), kKeepBytes / 4) << "more was deleted than was asked for";
  EXPECT_EQ(Query("SELECT max(first_unix_ms) FROM state_history"), kNow + 7999);
}

TEST_F(StoreTest, OverTheSizeCommandsGoTooButNoOpenOnes) {
  constexpr int64_t kKeepBytes = 12 << 20;
  auto store = OpenOrDie();
  RowBatch batch{.commands = {SampleCommand(1, 1, kNow)}, .steps = {SampleStep(1, 0, v1::COMMAND_STATE_RUNNING)}};
  for (uint64_t id = 2; id <= 8000; ++id) {
    batch.commands.push_back(SampleCommand(id, 1, kNow));
    batch.steps.push_back(SampleStep(id, 0, v1::COMMAND_STATE_FAILED));
    batch.steps.back().detail = std::string(1000, 'd');
  }
  ASSERT_TRUE(store->Write({batch}).ok());
  PruneAll(*store, {.keep_bytes = kKeepBytes});
  EXPECT_LE(UsedBytes(), kKeepBytes);
  EXPECT_EQ(Query("SELECT count(*) FROM command WHERE id = 1"), 1);
  EXPECT_EQ(Query("SELECT count(*) FROM command WHERE id = 8000"), 1) << "the newest went before older ones";
}

// States, where there are any, say how far back history goes: many commands do not eat them up.
TEST_F(StoreTest, OverTheSizeWhatIsOldestGoesFirst) {
  auto store = OpenOrDie();
  RowBatch batch;
  for (uint64_t id = 1; id <= 8000; ++id) {
    batch.commands.push_back(SampleCommand(id, 1, kNow - kHourMs));
    batch.steps.push_back(SampleStep(id, 0, v1::COMMAND_STATE_FAILED));
    batch.steps.back().detail = std::string(1000, 'd');
  }
  for (int i = 0; i < 100; ++i) {
    batch.devices.push_back(SampleDevice(1, "a"));
    batch.devices.back().block = SampleBlock(kNow - 100 + i, 1, 1, {1});
  }
  ASSERT_TRUE(store->Write({batch}).ok());
  PruneAll(*store, {.keep_bytes = 12 << 20});
  EXPECT_LE(UsedBytes(), 12 << 20);
  EXPECT_EQ(Query("SELECT count(*) FROM state_history"), 100);
}

std::string JsonOf(const TestFleet& fleet, absl::string_view id, Now now) {
  v1::DeviceView view = ViewOf(fleet.device(id), fleet.status(id), now);
  view.clear_clock_skew_ms();  // known again with the next heartbeat
  return ToJson(view);
}

TEST_F(StoreTest, ARestartedServerShowsTheSameFleet) {
  FakeClock clock;
  TestFleet before(clock);
  before.Say("a", v1::PRESENCE_ONLINE);
  before.Beat("a", 1);
  before.Beat("a", 4);  // two missing
  before.Report("a", 1, {1, 2});
  before.Report("a", 1, {1, 2});  // a duplicate
  before.Beat("b", 1);
  before.Report("b", 1, {9});
  before.Say("b", v1::PRESENCE_OFFLINE);
  v1::Segment hold;
  hold.set_type(v1::SEGMENT_TYPE_HOLD);
  const CommandId id = *before.state.Submit("a", hold, {.ttl = absl::Seconds(5)}, clock, before.changes);
  before.state.Flush(before.changes);
  ASSERT_TRUE(OpenOrDie()->Write({before.TakeRows()}).ok());

  clock.Advance(absl::Milliseconds(700));
  TestFleet after(clock, LoadOrDie({.id = 1, .now = clock}));

  EXPECT_EQ(JsonOf(after, "b", clock), JsonOf(before, "b", clock));
  EXPECT_EQ(after.status("a").state, LivenessState::kUnknown) << "nobody has heard it yet";
  after.Beat("a", 5);
  before.Beat("a", 5);
  clock.Advance(absl::Milliseconds(10));
  v1::DeviceView a = ViewOf(after.device("a"), after.status("a"), clock);
  EXPECT_EQ(a.loss().missing(), 2);
  EXPECT_EQ(a.loss().duplicate(), 1);
  a.set_state_since_unix_ms(static_cast<double>(before.device("a").state_since_unix_ms));  // it came online again
  EXPECT_EQ(ToJson(a), ToJson(ViewOf(before.device("a"), before.status("a"), clock)));
  EXPECT_EQ(after.state.commands().Find(id)->steps.size(), before.state.commands().Find(id)->steps.size());
}

}  // namespace
}  // namespace fleet::server
