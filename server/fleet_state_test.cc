#include "server/fleet_state.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/topics.h"
#include "fleet/v1/storage.pb.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"
#include "server/history_block.h"
#include "server/ingest.h"
#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

TEST_F(FleetStateTest, EverythingIsCountedPerStream) {
  LinkUp();
  Beat("a", 1, 1);
  Beat("a", 1, 4);
  Report("a", 1, 1);
  Report("a", 1, 3);
  Report("a", 1, 2);
  Report("a", 1, 2);
  EXPECT_EQ(device("a").heartbeats.missing(), 2u);
  EXPECT_EQ(device("a").states.missing(), 0u);
  EXPECT_EQ(device("a").states.saved().reordered, 1u);
  EXPECT_EQ(device("a").states.saved().duplicate, 1u);
}

TEST_F(FleetStateTest, LateReportIsHistoryButNotTheLatest) {
  LinkUp();
  Report("a", 1, 5);
  Report("a", 1, 7);
  Report("a", 1, 6);
  EXPECT_EQ(device("a").entities[0].latest.x_mm, 7);
}

TEST_F(FleetStateTest, MessagesOfAnEarlierLifeAreIgnoredAndCounted) {
  LinkUp();
  Beat("a", 2, 1);
  Beat("a", 1, 50);
  Report("a", 1, 50);
  EXPECT_EQ(device("a").heartbeats.saved().stored, 1u);
  EXPECT_TRUE(device("a").entities.empty());
  EXPECT_EQ(fleet_->counters().stale_epoch, 2u);
}

TEST_F(FleetStateTest, AgentThatLostItsDiskCountsFromOneAgainAndGoesOn) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 9, 100);
  Beat("a", 9, 1);
  Say("a", v1::PRESENCE_ONLINE, 1, 200);
  Beat("a", 1, 1);
  Report("a", 1, 1);
  EXPECT_EQ(device("a").epoch, 1u);
  EXPECT_EQ(status("a").state, LivenessState::kOnline);
  EXPECT_EQ(device("a").heartbeats.saved().stored, 2u);
  EXPECT_EQ(device("a").heartbeats.missing(), 0u);
  EXPECT_EQ(fleet_->counters().stale_epoch, 0u);
}

TEST_F(FleetStateTest, AgentThatLostItsDiskAgainUnderTheSameEpochIsANewLife) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 1);
  Beat("a", 1, 2);
  const CommandId id = SubmitAndSend("a");
  Say("a", v1::PRESENCE_ONLINE, 1, 200);
  Beat("a", 1, 1);
  EXPECT_EQ(device("a").heartbeats.saved().duplicate, 0u);
  EXPECT_EQ(device("a").heartbeats.saved().stored, 3u);
  EXPECT_EQ(Tick(), std::vector{id}) << "it is asked what it knows";
}

TEST_F(FleetStateTest, ReconnectOfTheSameLifeIsNoNewOne) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 3);
  EXPECT_EQ(device("a").heartbeats.missing(), 1u);
}

TEST_F(FleetStateTest, SteadyTimeIgnoresWallClockJumps) {
  const int64_t before = fleet_->SteadyUnixMs(clock_);
  clock_.Advance(absl::Seconds(7));
  clock_.JumpWall(absl::Hours(5));
  EXPECT_EQ(fleet_->SteadyUnixMs(clock_), before + 7000);
}

TEST_F(FleetStateTest, DevicesAreBoundedAndTheKnownOnesGoOn) {
  Start({.max_devices = 2}, {});
  LinkUp();
  Beat("a", 1, 1);
  Beat("b", 1, 1);
  Beat("c", 1, 1);
  Report("c", 1, 1);
  Say("c", v1::PRESENCE_ONLINE, 1);
  Ack("c", 1, CommandId{1}, v1::COMMAND_STATE_DONE);
  EXPECT_EQ(fleet_->registry().size(), 2u);
  EXPECT_EQ(fleet_->registry().Find("c"), nullptr);
  EXPECT_EQ(fleet_->counters().devices_refused, 4u);
  Beat("b", 1, 2);
  EXPECT_EQ(device("b").heartbeats.saved().stored, 2u);
}

TEST_F(FleetStateTest, EntitiesOfADeviceAreBoundedAndTheKnownOnesGoOn) {
  LinkUp();
  std::vector<uint32_t> ids;
  for (uint32_t id = 1; id <= kMaxEntitiesPerDevice; ++id) ids.push_back(id);
  Report("a", 1, 1, ids);
  EXPECT_EQ(fleet_->counters().entities_refused, 0u);
  Report("a", 1, 2, {9999, 7});
  EXPECT_EQ(device("a").entities.size(), size_t{kMaxEntitiesPerDevice});
  EXPECT_EQ(fleet_->counters().entities_refused, 1u);
  EXPECT_EQ(device("a").entities[6].latest.x_mm, 2);
}

TEST_F(FleetStateTest, ManyEntitiesInAnyOrderAreKeptApart) {
  LinkUp();
  Report("a", 1, 1, {5, 3, 200'000});
  Report("a", 1, 2, {200'000, 5});
  Report("a", 1, 3, {4});
  std::map<uint32_t, int32_t> x_mm;
  for (const Entity& entity : device("a").entities) x_mm[Number(entity.latest.id)] = entity.latest.x_mm;
  EXPECT_EQ(x_mm, (std::map<uint32_t, int32_t>{{3, 1}, {4, 3}, {5, 2}, {200'000, 2}}));
}

TEST_F(FleetStateTest, BeatsAndProbesGoOutOnlyWhileTheLinkIsUp) {
  fleet_->Tick(clock_, changes_);
  EXPECT_TRUE(changes_.publish.empty());
  LinkUp();
  Run(absl::Seconds(10), /*beats=*/false);
  int beats = 0;
  int probes = 0;
  for (const Publication& publication : changes_.publish) {
    if (publication.topic == kServerProbeTopic) ++probes;
    if (publication.topic != kServerBeatTopic) continue;
    ++beats;
    v1::ServerBeat beat;
    ASSERT_TRUE(beat.ParseFromString(publication.payload));
    EXPECT_EQ(beat.server_epoch(), 1u);
  }
  EXPECT_EQ(beats, 11);
  EXPECT_GE(probes, 33);  // every 250 ms, in turns of 100 ms
  changes_.publish.clear();
  fleet_->LinkDown(clock_, changes_);
  Run(absl::Seconds(5), /*beats=*/false, /*probes=*/false);
  EXPECT_TRUE(changes_.publish.empty());
}

TEST_F(FleetStateTest, DeviceThatConnectsGetsABeatAtOnceButNotAFloodOfThem) {
  LinkUp();
  Run(absl::Milliseconds(300), /*beats=*/false);
  changes_.publish.clear();
  for (int i = 0; i < 100; ++i) {
    Say("a", v1::PRESENCE_ONLINE, 1);
    fleet_->Tick(clock_, changes_);
  }
  int beats = 0;
  for (const Publication& publication : changes_.publish) beats += publication.topic == kServerBeatTopic;
  EXPECT_EQ(beats, 1);
}

TEST_F(FleetStateTest, NewDeviceIsWrittenAtOnceSoThatTheDatabaseKnowsNoLaterOneWithoutIt) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1);
  Report("b", 1, 1);
  Ack("c", 1, CommandId{1}, v1::COMMAND_STATE_DONE);
  Beat("d", 1, 1);
  std::vector<int64_t> first_seen;
  for (const DeviceRow& row : changes_.rows.devices) {
    if (row.device_row > static_cast<int64_t>(first_seen.size())) first_seen.push_back(row.device_row);
  }
  EXPECT_EQ(first_seen, (std::vector<int64_t>{1, 2, 3, 4}));
}

// Sequence numbers of all reports in the blocks written so far, in order.
std::vector<uint32_t> StoredReports(const RowBatch& rows, int64_t device_row) {
  std::vector<uint32_t> seqs;
  for (const DeviceRow& row : rows.devices) {
    v1::StateBlock block;
    EXPECT_TRUE(block.ParseFromString(row.block.samples));
    for (const v1::StateSample& sample : block.samples()) {
      v1::StateReport report;
      EXPECT_TRUE(report.ParseFromString(sample.report()));
      if (row.device_row == device_row) seqs.push_back(report.seq());
    }
  }
  return seqs;
}

TEST_F(FleetStateTest, EveryReportIsWrittenOnceAndNothingIsLeftAfterFlush) {
  LinkUp();
  std::vector<uint32_t> sent;
  for (uint32_t seq = 1; seq <= 537; ++seq) {
    Report("a", 1, seq);
    if (seq % 7 == 0) Report("a", 1, seq);  // a copy, not to be written
    sent.push_back(seq);
    Run(absl::Milliseconds(100), /*beats=*/true);
  }
  EXPECT_LT(StoredReports(changes_.rows, 1).size(), sent.size());
  fleet_->Flush(changes_);
  EXPECT_EQ(StoredReports(changes_.rows, 1), sent);
  const DeviceRow& last = changes_.rows.devices.back();
  EXPECT_EQ(last.states.stored, 537u);
  EXPECT_EQ(last.states.duplicate, 76u);
  EXPECT_EQ(last.heartbeats.stored, beats_);
  ASSERT_EQ(last.entities.size(), 1u);
  EXPECT_EQ(last.entities[0].x_mm, 537);
  const size_t rows = changes_.rows.devices.size();
  fleet_->Flush(changes_);
  fleet_->Tick(clock_, changes_);
  EXPECT_EQ(changes_.rows.devices.size(), rows) << "what is written once is not written again";
}

TEST_F(FleetStateTest, BlocksHoldAboutASecondEach) {
  LinkUp();
  for (uint32_t seq = 1; seq <= 100; ++seq) {
    Report("a", 1, seq);
    Run(absl::Milliseconds(100), /*beats=*/false);
  }
  for (const DeviceRow& row : changes_.rows.devices) EXPECT_LE(row.block.last_unix_ms - row.block.first_unix_ms, 1000);
  EXPECT_LE(changes_.rows.devices.size(), 12u);
}

TEST_F(FleetStateTest, HeartbeatsAloneAreWrittenEveryTenSeconds) {
  LinkUp();
  Run(absl::Seconds(1), /*beats=*/true);
  changes_.rows.devices.clear();
  Run(absl::Seconds(60), /*beats=*/true);
  EXPECT_GE(changes_.rows.devices.size(), 5u);
  EXPECT_LE(changes_.rows.devices.size(), 6u);
}

TEST_F(FleetStateTest, GreatBlocksAreWrittenBeforeTheirTime) {
  LinkUp();
  v1::StateReport report;
  report.set_epoch(1);
  report.add_entities()->set_entity_id(1);
  const std::string bytes(64 * 1024, 'x');
  for (uint32_t seq = 1; seq <= 9; ++seq) {
    report.set_seq(seq);
    Apply(StateEvent{"a", &report, bytes});
  }
  uint32_t written = 0;
  for (const DeviceRow& row : changes_.rows.devices) {
    written += row.block.count;
    EXPECT_LT(row.block.samples.size(), HistoryBlock::kMaxBytes + bytes.size() + 100);
  }
  EXPECT_EQ(written, 8u);
}

}  // namespace
}  // namespace fleet::server
