#include "server/fleet_state.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/testing/fake_clock.h"
#include "common/topics.h"
#include "fleet/v1/storage.pb.h"
#include "fleet/v1/to_device.pb.h"
#include "server/ingest.h"

namespace fleet::server {
namespace {

using State = LivenessState;
using Reason = OfflineReason;

v1::Segment SomeSegment() {
  v1::Segment segment;
  segment.set_entity_id(1);
  segment.set_end_x_mm(1000);
  segment.set_start_speed_mm_s(500);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  return segment;
}

// A server whose link is up, and devices that say what the test tells them to.
class FleetStateTest : public testing::Test {
 protected:
  FleetStateTest() { Start({}, {}); }

  void Start(const FleetOptions& options, SavedFleet saved) {
    fleet_ = std::make_unique<FleetState>(options, std::move(saved), clock_, changes_);
  }
  void LinkUp() {
    fleet_->LinkUp(clock_, changes_);
    fleet_->MessageArrived(clock_);
    fleet_->Tick(clock_, changes_);
  }
  // A will of a device that was just heard, in a server that has been hearing for a while, and the time it takes.
  void Lose(absl::string_view device, uint32_t epoch) {
    Say(device, v1::PRESENCE_LOST, epoch);
    Run(absl::Milliseconds(200), /*beats=*/false);
  }
  void Apply(const Event& event) {
    fleet_->MessageArrived(clock_);
    fleet_->Apply(event, clock_, changes_);
  }
  void Beat(absl::string_view device, uint32_t epoch, uint32_t seq, int64_t clock_ahead_ms = 0) {
    v1::Heartbeat heartbeat;
    heartbeat.set_epoch(epoch);
    heartbeat.set_seq(seq);
    heartbeat.set_sent_unix_ms(static_cast<uint64_t>(clock_.Read().unix_ms() + clock_ahead_ms));
    Apply(HeartbeatEvent{device, &heartbeat});
  }
  void Report(absl::string_view device, uint32_t epoch, uint32_t seq, std::vector<uint32_t> entities = {1}) {
    v1::StateReport report;
    report.set_epoch(epoch);
    report.set_seq(seq);
    for (uint32_t id : entities) {
      v1::EntityState& entity = *report.add_entities();
      entity.set_entity_id(id);
      entity.set_x_mm(static_cast<int32_t>(seq));
    }
    const std::string bytes = report.SerializeAsString();
    Apply(StateEvent{device, &report, bytes});
  }
  void Say(absl::string_view device, v1::Presence presence, uint32_t epoch, uint64_t started_unix_ms = 1) {
    v1::Status status;
    status.set_presence(presence);
    status.set_epoch(epoch);
    status.set_started_unix_ms(started_unix_ms);
    status.set_version("1.2.3");
    Apply(StatusEvent{device, &status});
  }
  void Ack(absl::string_view device, uint32_t epoch, CommandId id, v1::CommandState state) {
    v1::CommandReport report;
    report.set_epoch(epoch);
    v1::CommandUpdate& update = *report.add_updates();
    update.set_command_id(Number(id));
    update.set_state(state);
    Apply(CommandReportEvent{device, &report});
  }
  CommandId SubmitAndSend(absl::string_view device) {
    const auto id = fleet_->Submit(device, SomeSegment(), absl::Seconds(5), clock_, changes_);
    EXPECT_TRUE(id.ok()) << id.status();
    fleet_->Committed(changes_.rows.number, changes_);
    for (CommandId due : std::exchange(changes_.commands_due, {})) fleet_->Sent(due, true, clock_, changes_);
    return *id;
  }
  // One turn of the loop every 100 ms; the server's own probes come back, and with `beats` so do heartbeats of `a`.
  void Run(absl::Duration d, bool beats, bool probes = true) {
    for (absl::Duration done; done < d; done += absl::Milliseconds(100)) {
      clock_.Advance(absl::Milliseconds(100));
      if (probes) fleet_->MessageArrived(clock_);
      if (beats && ++turns_ % 5 == 0) Beat("a", 1, ++beats_);
      fleet_->Tick(clock_, changes_);
    }
  }

  const Device& device(absl::string_view id) const { return *fleet_->registry().Find(id); }
  LivenessStatus status(absl::string_view id) const { return fleet_->liveness().status(device(id).index); }
  v1::CommandState StateOf(CommandId id) const { return fleet_->commands().Find(id)->state(); }
  std::vector<State> LivenessHistory(absl::string_view id) const {
    std::vector<State> states;
    for (const LivenessRow& row : changes_.rows.liveness) {
      if (row.device_row == device(id).row) states.push_back(row.status.state);
    }
    return states;
  }

  FakeClock clock_;
  Changes changes_;  // everything since the test began, unless it clears it
  std::unique_ptr<FleetState> fleet_;
  int turns_ = 0;
  uint32_t beats_ = 0;
};

TEST_F(FleetStateTest, StateBeforeAnyHeartbeatIsKept) {
  LinkUp();
  Report("a", 1, 1, {1, 2});
  EXPECT_EQ(device("a").entities.size(), 2u);
  EXPECT_EQ(status("a").state, State::kUnknown);
  EXPECT_FALSE(device("a").heard);
  Beat("a", 1, 1);
  EXPECT_EQ(status("a").state, State::kOnline);
}

TEST_F(FleetStateTest, DeviceClockAheadOfOursOnlyShowsAsSkew) {
  LinkUp();
  Beat("a", 1, 1, /*clock_ahead_ms=*/3'600'000);
  EXPECT_EQ(device("a").clock_skew_ms, 3'600'000);
  EXPECT_EQ(clock_.Read().mono - device("a").last_heartbeat, absl::ZeroDuration());
  EXPECT_EQ(device("a").last_seen_unix_ms, clock_.Read().unix_ms());
  Run(absl::Seconds(3), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(FleetStateTest, NonsenseTimesOfADeviceDoNoHarm) {
  LinkUp();
  for (uint64_t sent : {uint64_t{0}, UINT64_MAX, uint64_t{1} << 63, (uint64_t{1} << 63) - 1}) {
    v1::Heartbeat heartbeat;
    heartbeat.set_epoch(1);
    heartbeat.set_seq(++beats_);
    heartbeat.set_sent_unix_ms(sent);
    Apply(HeartbeatEvent{"a", &heartbeat});
    EXPECT_EQ(status("a").state, State::kOnline);
  }
}

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

TEST_F(FleetStateTest, CopyOfAnOldHeartbeatKeepsNobodyAlive) {
  LinkUp();
  Beat("a", 1, 1);
  for (int i = 0; i < 30; ++i) {
    Run(absl::Milliseconds(100), /*beats=*/false);
    Beat("a", 1, 1);
  }
  EXPECT_EQ(status("a").state, State::kOffline);
}

TEST_F(FleetStateTest, WillAndGoodbyeSayWhyADeviceIsOffline) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  Lose("a", 1);
  EXPECT_EQ(status("a").reason, Reason::kLost);
  Beat("a", 1, 2);
  Say("a", v1::PRESENCE_OFFLINE, 1);
  EXPECT_EQ(status("a").reason, Reason::kClean);
}

TEST_F(FleetStateTest, WillOfAnEarlierLifeDoesNotKillTheNewOne) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_ONLINE, 2, 200);
  Beat("a", 2, 1);
  Say("a", v1::PRESENCE_LOST, 1, 100);
  EXPECT_EQ(status("a").state, State::kOnline);
  EXPECT_EQ(device("a").epoch, 2u);
  EXPECT_EQ(fleet_->counters().stale_epoch, 1u);
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
  EXPECT_EQ(status("a").state, State::kOnline);
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
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
}

TEST_F(FleetStateTest, ReconnectOfTheSameLifeIsNoNewOne) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 1);
  Say("a", v1::PRESENCE_ONLINE, 1, 100);
  Beat("a", 1, 3);
  EXPECT_EQ(device("a").heartbeats.missing(), 1u);
}

TEST_F(FleetStateTest, WallClockJumpsOfTheServerChangeNoLiveness) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  changes_.rows.liveness.clear();
  for (absl::Duration jump : {absl::Hours(1), -absl::Hours(2), absl::Hours(24 * 365), -absl::Hours(24 * 366)}) {
    clock_.JumpWall(jump);
    Run(absl::Seconds(3), /*beats=*/true);
  }
  EXPECT_TRUE(changes_.rows.liveness.empty());
}

TEST_F(FleetStateTest, SteadyTimeIgnoresWallClockJumps) {
  const int64_t before = fleet_->SteadyUnixMs(clock_);
  clock_.Advance(absl::Seconds(7));
  clock_.JumpWall(absl::Hours(5));
  EXPECT_EQ(fleet_->SteadyUnixMs(clock_), before + 7000);
}

TEST_F(FleetStateTest, StoppedProcessDeclaresNobodyDead) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  clock_.Advance(absl::Seconds(5));  // SIGSTOP; what came meanwhile is read in one turn, part of it lost
  fleet_->Tick(clock_, changes_);
  Run(absl::Seconds(5), /*beats=*/true);
  EXPECT_EQ(status("a").state, State::kOnline);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline, State::kUnknown, State::kOnline}));
}

TEST_F(FleetStateTest, OwnLinkDownMakesUnknownAndHeartbeatsBringBack) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  fleet_->LinkDown(clock_, changes_);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Minutes(1), /*beats=*/false, /*probes=*/false);
  LinkUp();
  Run(absl::Seconds(5), /*beats=*/true);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline, State::kUnknown, State::kOnline}));
}

TEST_F(FleetStateTest, DeviceSilentSinceOurLinkWasDownIsOfflineTwoSecondsAfterItsReturn) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  fleet_->LinkDown(clock_, changes_);
  Run(absl::Minutes(1), /*beats=*/false, /*probes=*/false);
  LinkUp();
  Run(absl::Milliseconds(1900), /*beats=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Milliseconds(100), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(FleetStateTest, LinkThatSwallowsEverythingMakesUnknownNotOffline) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  Run(absl::Minutes(1), /*beats=*/false, /*probes=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Seconds(3), /*beats=*/true);
  EXPECT_EQ(status("a").state, State::kOnline);
  for (State state : LivenessHistory("a")) EXPECT_NE(state, State::kOffline);
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

TEST_F(FleetStateTest, PatrolSendsEachEntityOfOnlineDevicesOneSegmentAPeriod) {
  Start({.patrol = absl::Seconds(3)}, {});
  LinkUp();
  Report("a", 1, 1, {1, 2});
  Report("silent", 1, 1, {1});
  Run(absl::Milliseconds(9'100), /*beats=*/true);
  std::map<int64_t, int> commands;
  for (const CommandRow& row : changes_.rows.commands) ++commands[row.device_row];
  EXPECT_EQ(commands, (std::map<int64_t, int>{{device("a").row, 6}}));
}

TEST_F(FleetStateTest, PatrolIsOffByDefaultAndPausesWhileDeaf) {
  LinkUp();
  Report("a", 1, 1);
  Run(absl::Minutes(1), /*beats=*/true);
  EXPECT_TRUE(changes_.rows.commands.empty());
  Start({.patrol = absl::Seconds(3)}, {});
  Report("a", 1, 1);
  Run(absl::Seconds(9), /*beats=*/true, /*probes=*/false);
  EXPECT_TRUE(changes_.rows.commands.empty());
}

TEST_F(FleetStateTest, PatrolKeepsEveryEntityOnTheMap) {
  for (uint32_t id : {0u, 1u, 99u, 100u, UINT32_MAX}) {
    const v1::Segment segment = Patrol::SegmentFor(EntityId{id});
    EXPECT_EQ(segment.entity_id(), id);
    EXPECT_LT(segment.end_x_mm(), 100'000);
    EXPECT_GT(segment.end_speed_mm_s(), 0);
  }
  EXPECT_EQ(Patrol::SegmentFor(EntityId{3}).end_x_mm(), 3000);
  EXPECT_EQ(Patrol::SegmentFor(EntityId{3}).start_speed_mm_s(), 650);
  EXPECT_EQ(Patrol::SegmentFor(EntityId{3}).end_speed_mm_s(), 390);
}

TEST_F(FleetStateTest, SubmitSaysWhyNot) {
  LinkUp();
  Beat("a", 1, 1);
  const auto submit = [&](absl::string_view id, const v1::Segment& segment) {
    return fleet_->Submit(id, segment, absl::Seconds(5), clock_, changes_).status();
  };
  EXPECT_TRUE(absl::IsNotFound(submit("nobody", SomeSegment())));
  v1::Segment segment = SomeSegment();
  segment.set_type(v1::SEGMENT_TYPE_UNSPECIFIED);
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment.set_type(static_cast<v1::SegmentType>(99));
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment = SomeSegment();
  segment.set_end_speed_mm_s(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment.set_end_speed_mm_s(0);
  segment.set_start_speed_mm_s(0);
  EXPECT_TRUE(absl::IsInvalidArgument(submit("a", segment)));
  segment.set_type(v1::SEGMENT_TYPE_HOLD);
  EXPECT_TRUE(submit("a", segment).ok());
  Say("a", v1::PRESENCE_OFFLINE, 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(submit("a", SomeSegment())));
}

TEST_F(FleetStateTest, SubmittedCommandIsUrgentAndCarriesTheSteadyTime) {
  LinkUp();
  Beat("a", 1, 1);
  clock_.Advance(absl::Seconds(3));
  clock_.JumpWall(absl::Hours(5));
  changes_.urgent = false;
  SubmitAndSend("a");
  EXPECT_TRUE(changes_.urgent);
  EXPECT_EQ(changes_.rows.commands.back().issued_unix_ms, fleet_->SteadyUnixMs(clock_));
}

TEST_F(FleetStateTest, CommandsOfADeviceThatGoesOfflineOrStartsAnewAreUnknown) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  const CommandId lost = SubmitAndSend("a");
  Lose("a", 1);
  EXPECT_EQ(StateOf(lost), v1::COMMAND_STATE_UNKNOWN);
  EXPECT_EQ(fleet_->commands().Find(lost)->steps.back().reason, "device_offline_lost");
  Beat("a", 1, 2);
  const CommandId restarted = SubmitAndSend("a");
  Beat("a", 2, 1);
  EXPECT_EQ(fleet_->commands().Find(restarted)->steps.back().reason, "device_restarted");
}

TEST_F(FleetStateTest, CommandToADeviceThatJustCameOnlineFollowsABeat) {
  LinkUp();
  Run(absl::Seconds(1), /*beats=*/false);
  Say("a", v1::PRESENCE_ONLINE, 1);
  changes_.publish.clear();
  ASSERT_TRUE(fleet_->Submit("a", SomeSegment(), absl::Seconds(5), clock_, changes_).ok());
  fleet_->Tick(clock_, changes_);
  ASSERT_FALSE(changes_.publish.empty());
  EXPECT_EQ(changes_.publish[0].topic, kServerBeatTopic);
}

TEST_F(FleetStateTest, SecondWillEndsWhatWasHeardSinceTheFirst) {
  LinkUp();
  Run(absl::Seconds(2), /*beats=*/false);
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  Lose("a", 1);
  Say("a", v1::PRESENCE_ONLINE, 1);  // back, and lost again before a heartbeat got through
  Ack("a", 1, id, v1::COMMAND_STATE_RUNNING);
  ASSERT_EQ(StateOf(id), v1::COMMAND_STATE_RUNNING);
  Say("a", v1::PRESENCE_LOST, 1);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
}

TEST_F(FleetStateTest, AnswersMissedWhileOurLinkWasDownLeaveNoCommandOpenForEver) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  Ack("a", 1, id, v1::COMMAND_STATE_RUNNING);
  fleet_->LinkDown(clock_, changes_);  // "done" is said now, and nobody hears it
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
  EXPECT_EQ(fleet_->commands().Find(id)->steps.back().reason, "server_link_down");
  LinkUp();
  Ack("a", 1, id, v1::COMMAND_STATE_DONE);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_DONE);
}

TEST_F(FleetStateTest, CommandThatTheLinkRefusedDoesNotKeepTheLoopBusyWhileTheLinkIsDown) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = *fleet_->Submit("a", SomeSegment(), absl::Seconds(5), clock_, changes_);
  fleet_->Committed(changes_.rows.number, changes_);
  fleet_->LinkDown(clock_, changes_);
  fleet_->Sent(id, false, clock_, changes_);
  Run(absl::Milliseconds(200), /*beats=*/false, /*probes=*/false);
  EXPECT_GT(fleet_->NextDue(), clock_.Read().mono);
  changes_.commands_due.clear();
  LinkUp();
  EXPECT_EQ(changes_.commands_due, std::vector{id});
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

TEST_F(FleetStateTest, NextDueNeverLetsADeadlinePass) {
  Start({.patrol = absl::Seconds(3)}, {});
  LinkUp();
  Beat("a", 1, 1);
  // Turns only when something is due or a probe comes back: the device must go stale and offline on time.
  const MonoTime began = clock_.Read().mono;
  while (status("a").state != State::kOffline) {
    const MonoTime due = fleet_->NextDue();
    ASSERT_GE(due, clock_.Read().mono);
    ASSERT_LE(due, began + absl::Seconds(3));
    clock_.Advance(due - clock_.Read().mono);
    fleet_->MessageArrived(clock_);
    fleet_->Tick(clock_, changes_);
    ASSERT_GT(fleet_->NextDue(), clock_.Read().mono) << "a loop that follows NextDue would spin";
  }
  EXPECT_EQ(clock_.Read().mono, began + absl::Seconds(2));
}

// Takes over the newest row of each device, as the store does.
SavedFleet Save(const RowBatch& rows) {
  SavedFleet saved;
  for (const DeviceRow& row : rows.devices) {
    if (row.device_row > static_cast<int64_t>(saved.devices.size())) {
      saved.devices.push_back(row);
      continue;
    }
    DeviceRow& known = saved.devices[row.device_row - 1];
    std::vector<EntityRow> entities = row.entities.empty() ? known.entities : row.entities;
    known = row;
    known.entities = std::move(entities);
  }
  return saved;
}

TEST_F(FleetStateTest, RestartRemembersAllAndDeclaresNobodyDead) {
  LinkUp();
  Say("a", v1::PRESENCE_ONLINE, 1);
  Report("a", 1, 1, {1, 2});
  Run(absl::Seconds(5), /*beats=*/true);
  fleet_->Flush(changes_);
  SavedFleet saved = Save(changes_.rows);
  saved.server_epoch = 2;
  changes_ = {};
  clock_.Advance(absl::Minutes(10));
  beats_ += 1200;  // sent while nobody listened
  Start({}, saved);
  EXPECT_EQ(device("a").entities.size(), 2u);
  EXPECT_EQ(device("a").version, "1.2.3");
  EXPECT_EQ(status("a").state, State::kUnknown);
  LinkUp();
  Run(absl::Seconds(5), /*beats=*/true);
  EXPECT_EQ(LivenessHistory("a"), (std::vector{State::kOnline}));
  EXPECT_EQ(device("a").heartbeats.missing(), 1200u);
  EXPECT_EQ(device("a").states.missing(), 0u);
}

TEST_F(FleetStateTest, DeviceThatDiedDuringTheRestartIsOfflineTwoSecondsAfterHearing) {
  LinkUp();
  Run(absl::Seconds(3), /*beats=*/true);
  fleet_->Flush(changes_);
  SavedFleet saved = Save(changes_.rows);
  Start({}, saved);
  LinkUp();
  Run(absl::Milliseconds(1900), /*beats=*/false);
  EXPECT_EQ(status("a").state, State::kUnknown);
  Run(absl::Milliseconds(100), /*beats=*/false);
  EXPECT_EQ(status("a").reason, Reason::kSilent);
}

TEST_F(FleetStateTest, OpenCommandsOfTheLastRunAreSettledAtStart) {
  LinkUp();
  Beat("a", 1, 1);
  const CommandId id = SubmitAndSend("a");
  SavedFleet saved = Save(changes_.rows);
  saved.open_commands.push_back({.row = changes_.rows.commands[0], .steps = changes_.rows.steps});
  saved.next_command = CommandId{Number(id) + 1};
  changes_ = {};
  Start({}, saved);
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
  ASSERT_EQ(changes_.rows.steps.size(), 1u) << "and the store hears of it";
  LinkUp();
  Beat("a", 1, 2);
  EXPECT_EQ(SubmitAndSend("a"), CommandId{Number(id) + 1});
}

}  // namespace
}  // namespace fleet::server
