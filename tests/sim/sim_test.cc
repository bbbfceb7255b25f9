#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace fleet {
namespace {

using State = server::LivenessState;
using Reason = server::OfflineReason;
using States = std::vector<State>;

const absl::Duration kConnect = absl::Seconds(3);

void ExpectAllOnline(World& world) {
  for (size_t i = 0; i < world.size(); ++i) EXPECT_EQ(world.Status(i).state, State::kOnline) << "device " << i;
}

void ExpectNobodyWasEver(World& world, State state) {
  for (size_t i = 0; i < world.size(); ++i) {
    const States states = world.TakeLiveness(i);
    EXPECT_EQ(std::count(states.begin(), states.end(), state), 0) << "device " << i;
  }
}

// The server's books of each device say what really arrived.
void ExpectBooksAreTrue(World& world) {
  for (size_t i = 0; i < world.size(); ++i) {
    const server::Device& seen = world.Seen(i);
    EXPECT_EQ(seen.heartbeats.saved().expected, world.Truth(i).heartbeats.expected()) << "device " << i;
    EXPECT_EQ(seen.heartbeats.saved().stored, world.Truth(i).heartbeats.stored()) << "device " << i;
    EXPECT_EQ(seen.states.saved().expected, world.Truth(i).states.expected()) << "device " << i;
    EXPECT_EQ(seen.states.saved().stored, world.Truth(i).states.stored()) << "device " << i;
  }
}

TEST(SteadyFleet, EverybodyIsOnlineAndNothingIsMissing) {
  World world({.devices = 20, .entities = 3});
  world.RunFor(absl::Minutes(1));
  ExpectAllOnline(world);
  for (size_t i = 0; i < world.size(); ++i) {
    EXPECT_EQ(world.Seen(i).heartbeats.missing() + world.Seen(i).states.missing(), 0u);
    EXPECT_GE(world.Seen(i).heartbeats.saved().stored, 119u);
    EXPECT_GE(world.Seen(i).states.saved().stored, 595u);
    EXPECT_EQ(world.Seen(i).entities.size(), 3u);
    EXPECT_EQ(world.TakeLiveness(i), States{State::kOnline});
  }
}

TEST(SteadyFleet, EveryReportIsInTheHistoryOnceAfterACleanStop) {
  World world({.devices = 5});
  world.RunFor(absl::Seconds(30));
  std::vector<uint64_t> stored;
  for (size_t i = 0; i < world.size(); ++i) stored.push_back(world.Seen(i).states.saved().stored);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < world.size(); ++i) rows.push_back(world.Seen(i).row);
  world.StopServer();
  for (size_t i = 0; i < world.size(); ++i) EXPECT_EQ(world.store().reports_of(rows[i]), stored[i]);
}

// Messages at QoS 0 that were sent and did not arrive.
int64_t CountLost(World& world) {
  uint64_t sent = world.recorder().beats_published() * world.size() + world.recorder().probes_published();
  uint64_t arrived = world.recorder().beats_arrived() + world.recorder().probes_arrived();
  for (size_t i = 0; i < world.size(); ++i) {
    const device::LinkedAgent& agent = world.device(i).agent();
    sent += agent.sent(DeviceTopic::kHeartbeat) + agent.sent(DeviceTopic::kState);
    arrived += world.Seen(i).heartbeats.saved().stored + world.Seen(i).states.saved().stored;
  }
  return static_cast<int64_t>(sent - arrived);
}

TEST(LossyNetwork, BooksEqualWhatTheNetworkLost) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world({.devices = 10, .seed = seed});
    world.RunFor(kConnect);
    const int64_t lost_before = CountLost(world);
    world.broker().SetFaults({.loss = 0.05, .duplicate = 0.02, .delay_max = absl::Milliseconds(200)});
    // A beat that is lost before the broker is lost for ten.
    world.broker().SetFaults(kServerClientId, {.delay_max = absl::Milliseconds(200)});
    world.RunFor(absl::Minutes(1));
    world.Drain();
    ExpectBooksAreTrue(world);
    EXPECT_GT(world.broker().counts().lost, 300u);
    EXPECT_EQ(CountLost(world) - lost_before, static_cast<int64_t>(world.broker().counts().lost));
  }
}

TEST(LossyNetwork, BooksAreTrueWhenMessagesOvertakeAndDoubleToo) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world({.devices = 5,
                 .seed = seed,
                 .faults = {.loss = 0.05,
                            .duplicate = 0.1,
                            .duplicate_qos0 = true,
                            .reorder = true,
                            .delay_max = absl::Milliseconds(300)}});
    world.RunFor(absl::Minutes(1));
    world.Drain();
    ExpectBooksAreTrue(world);
    EXPECT_GT(world.Seen(0).states.saved().reordered, 0u);
    EXPECT_GT(world.Seen(0).states.saved().duplicate, 0u);
  }
}

// That nobody is declared silent without two seconds of real silence is checked by the world itself. Such a silence
// needs four heartbeats lost in a row, or three when delays make up the rest; one is lost with 1 - 0.95^2 = 0.0975.
TEST(LossyNetwork, LossAloneRarelyLooksLikeDeath) {
  World world({.devices = 100,
               .faults = {.loss = 0.05, .duplicate = 0.02, .delay_max = absl::Milliseconds(200)},
               .state_rate_hz = 1});
  world.RunFor(absl::Minutes(10));  // 120 000 heartbeats
  int offline = 0;
  for (size_t i = 0; i < world.size(); ++i) {
    const States states = world.TakeLiveness(i);
    offline += static_cast<int>(std::count(states.begin(), states.end(), State::kOffline));
    EXPECT_NE(world.Status(i).state, State::kUnknown);
  }
  EXPECT_LE(offline, 120'000 * 0.0975 * 0.0975 * 0.0975);
}

TEST(Partition, OneDeviceIsOfflineWithinTwoSecondsAndBackWhenHealed) {
  World world({.devices = 3});
  world.RunFor(kConnect);
  world.PartitionDevice(1, true);
  world.RunFor(absl::Milliseconds(1499));  // a heartbeat was at most half a second ago
  EXPECT_NE(world.Status(1).state, State::kOffline);
  world.RunFor(absl::Milliseconds(501 + 10));
  EXPECT_EQ(world.Status(1).state, State::kOffline);
  EXPECT_EQ(world.Status(1).reason, Reason::kSilent);
  EXPECT_EQ(world.Status(0).state, State::kOnline);
  EXPECT_EQ(world.Status(2).state, State::kOnline);
  world.RunFor(absl::Minutes(1));
  EXPECT_EQ(world.Status(1).reason, Reason::kLost) << "the broker gave up and said so";
  world.PartitionDevice(1, false);
  world.RunFor(absl::Seconds(10));
  EXPECT_EQ(world.Status(1).state, State::kOnline);
}

TEST(Partition, ShortOneLosesMessagesButNotTheDevice) {
  World world({.devices = 1});
  world.RunFor(kConnect);
  world.TakeLiveness(0);
  world.PartitionDevice(0, true);
  world.RunFor(absl::Milliseconds(900));
  world.PartitionDevice(0, false);
  world.RunFor(absl::Seconds(2));
  ExpectBooksAreTrue(world);
  EXPECT_GT(world.Seen(0).states.missing(), 5u);
  ExpectNobodyWasEver(world, State::kOffline);
}

TEST(Partition, ServerCutOffSilentlyDeclaresNobodyDead) {
  World world({.devices = 10});
  world.RunFor(kConnect);
  world.PartitionServer(true);
  world.RunFor(absl::Milliseconds(1500));
  EXPECT_EQ(world.Count(State::kUnknown), 10u);
  world.RunFor(absl::Seconds(60));
  EXPECT_EQ(world.Count(State::kUnknown), 10u);
  world.PartitionServer(false);
  world.RunFor(absl::Seconds(10));
  ExpectAllOnline(world);
  ExpectNobodyWasEver(world, State::kOffline);
}

TEST(Partition, DeviceThatDiedMeanwhileIsFoundAfterwards) {
  World world({.devices = 2});
  world.RunFor(kConnect);
  world.PartitionServer(true);
  world.RunFor(absl::Seconds(20));
  world.KillDevice(1);
  world.RunFor(absl::Seconds(20));
  world.PartitionServer(false);
  world.RunFor(absl::Seconds(10));
  EXPECT_EQ(world.Status(0).state, State::kOnline);
  EXPECT_EQ(world.Status(1).state, State::kOffline);
}

TEST(Clocks, JumpsOfAnHourChangeNoLivenessAndSegmentsStillRun) {
  for (const absl::Duration jump : {absl::Hours(1), -absl::Hours(1)}) {
    for (const bool of_server : {true, false}) {
      SCOPED_TRACE(testing::Message() << absl::FormatDuration(jump) << (of_server ? " server" : " device"));
      World world({.devices = 2});
      world.RunFor(kConnect);
      world.TakeLiveness(0);
      of_server ? world.JumpServerWall(jump) : world.JumpDeviceWall(0, jump);
      const auto id = world.Submit(0, absl::Seconds(1), absl::Seconds(2));
      ASSERT_TRUE(id.has_value());
      world.RunFor(absl::Seconds(5));
      EXPECT_EQ(world.server().state().commands().Find(*id)->state(), v1::COMMAND_STATE_DONE);
      EXPECT_TRUE(world.TakeLiveness(0).empty());
      EXPECT_EQ(world.Status(0).state, State::kOnline);
      EXPECT_EQ(world.Seen(0).clock_skew_ms, absl::ToInt64Milliseconds(of_server ? -jump : jump));
    }
  }
}

TEST(Clocks, NothingRunsAfterItsTimeWhateverTheClocksDo) {
  for (const absl::Duration jump : {absl::Hours(1), -absl::Hours(1)}) {
    World world({.devices = 1});
    world.RunFor(kConnect);
    world.PartitionDevice(0, true);
    const auto id = world.Submit(0, absl::Seconds(1), absl::Seconds(1));
    ASSERT_TRUE(id.has_value());
    world.RunFor(absl::Milliseconds(700));
    world.JumpDeviceWall(0, jump);
    world.JumpServerWall(-jump);
    world.RunFor(absl::Milliseconds(600));  // the segment waits at the edge of the partition and is too old now
    world.PartitionDevice(0, false);
    world.RunFor(absl::Seconds(3));
    EXPECT_EQ(world.command_truth().at(*id).starts, 0);
    EXPECT_EQ(world.server().state().commands().Find(*id)->state(), v1::COMMAND_STATE_EXPIRED);
  }
}

TEST(Restart, ServerKilledComesBackWithoutDeclaringAnybodyDead) {
  World world({.devices = 10});
  world.RunFor(absl::Seconds(20));
  world.KillServer();
  world.RunFor(absl::Seconds(7));
  world.StartServer();
  world.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(world.server().state().registry().size(), 10u);
  world.RunFor(absl::Seconds(5));
  ExpectAllOnline(world);
  ExpectNobodyWasEver(world, State::kOffline);
  for (size_t i = 0; i < world.size(); ++i) {
    EXPECT_GE(world.Seen(i).heartbeats.missing(), 14u) << "what was sent meanwhile is missing";
  }
}

TEST(Restart, ServerStoppedCleanlyKeepsItsBooks) {
  World world({.devices = 3});
  world.RunFor(absl::Seconds(10));
  world.StopServer();
  world.RunFor(absl::Seconds(10));
  world.StartServer();
  world.RunFor(absl::Seconds(10));
  ExpectBooksAreTrue(world);
}

TEST(Restart, BrokerComesBackAndSoDoesEverybody) {
  for (const bool keep_retained : {true, false}) {
    SCOPED_TRACE(keep_retained);
    World world({.devices = 20});
    world.RunFor(kConnect);
    world.broker().Stop();
    world.RunFor(absl::Seconds(3));
    world.broker().Start(keep_retained);
    world.RunFor(absl::Seconds(5));
    ExpectAllOnline(world);
    ExpectNobodyWasEver(world, State::kOffline);
    ExpectBooksAreTrue(world);
  }
}

TEST(Restart, BrokerGoneForLongIsNoDifferent) {
  World world({.devices = 20});
  world.RunFor(kConnect);
  world.broker().Stop();
  world.RunFor(absl::Minutes(10));
  world.broker().Start();
  world.RunFor(absl::Seconds(10));
  ExpectAllOnline(world);
  ExpectNobodyWasEver(world, State::kOffline);
}

TEST(Restart, BrokerThatPublishesEveryWillAsItStopsKillsNobody) {
  World world({.devices = 20});
  world.RunFor(kConnect);
  for (size_t i = 0; i < world.size(); ++i) world.broker().Kill(world.device(i).id().str());
  world.broker().Stop();
  world.RunFor(absl::Seconds(2));
  EXPECT_EQ(world.Count(State::kUnknown), 20u);
  world.broker().Start(/*keep_retained=*/true);  // the wills are stored, and are what the server hears first
  world.RunFor(absl::Seconds(5));
  ExpectAllOnline(world);
  ExpectNobodyWasEver(world, State::kOffline);
}

TEST(Restart, KilledAgentIsLostAtOnceAndItsNextLifeIsCountedFromOne) {
  World world({.devices = 2});
  world.RunFor(absl::Seconds(10));
  world.KillDevice(0);
  world.RunFor(absl::Milliseconds(200));
  EXPECT_EQ(world.Status(0).reason, Reason::kLost);
  world.RunFor(absl::Seconds(5));
  world.StartDevice(0);
  world.RunFor(absl::Seconds(5));
  EXPECT_EQ(world.Status(0).state, State::kOnline);
  EXPECT_EQ(world.Seen(0).epoch, 2u);
  EXPECT_EQ(world.Seen(0).heartbeats.missing(), 0u);
  ExpectBooksAreTrue(world);
}

TEST(Restart, StoppedAgentSaysGoodbye) {
  World world({.devices = 1});
  world.RunFor(kConnect);
  world.StopDevice(0);
  world.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(world.Status(0).reason, Reason::kClean);
  world.RunFor(absl::Minutes(1));
  EXPECT_EQ(world.Status(0).reason, Reason::kClean);
}

TEST(Restart, AgentThatLostItsDiskGoesOn) {
  World world({.devices = 1});
  world.RunFor(kConnect);
  for (int life = 0; life < 3; ++life) {
    world.KillDevice(0);
    world.RunFor(absl::Seconds(1));
    if (life == 1) world.device(0).LoseDisk();
    world.StartDevice(0);
    world.RunFor(absl::Seconds(5));
    EXPECT_EQ(world.Status(0).state, State::kOnline);
  }
  EXPECT_EQ(world.Seen(0).epoch, 2u);
}

TEST(Commands, RunInTimeAndAreAnswered) {
  World world({.devices = 5, .entities = 2});
  world.RunFor(kConnect);
  std::vector<CommandId> ids;
  for (size_t i = 0; i < world.size(); ++i) ids.push_back(*world.Submit(i, absl::Seconds(1), absl::Seconds(2), 2));
  const auto missing_entity = world.Submit(0, absl::Seconds(1), absl::Seconds(2), /*entity=*/9);
  world.RunFor(absl::Seconds(3));
  for (CommandId id : ids) {
    EXPECT_EQ(world.server().state().commands().Find(id)->state(), v1::COMMAND_STATE_DONE);
    EXPECT_EQ(world.command_truth().at(id).starts, 1);
  }
  const server::Command& refused = *world.server().state().commands().Find(*missing_entity);
  EXPECT_EQ(refused.state(), v1::COMMAND_STATE_REJECTED);
  EXPECT_EQ(refused.steps.back().reason, "unknown_entity");
}

TEST(Commands, PatrolKeepsAFleetMoving) {
  World world({.devices = 5, .entities = 2, .fleet = {.patrol = absl::Seconds(3)}});
  world.RunFor(absl::Minutes(1));
  // Counted by what the store has: every entity once in three seconds, done or replaced by the next.
  std::map<v1::CommandState, int> ends;
  for (const auto& [id, command] : world.store().commands()) ++ends[command.saved.steps.back().state];
  EXPECT_GE(ends[v1::COMMAND_STATE_DONE] + ends[v1::COMMAND_STATE_SUPERSEDED], 5 * 2 * 18);
  EXPECT_EQ(ends[v1::COMMAND_STATE_UNKNOWN] + ends[v1::COMMAND_STATE_EXPIRED] + ends[v1::COMMAND_STATE_REJECTED], 0);
}

TEST(Commands, WaitForADeviceThatIsAwayAndThenRunInOrder) {
  World world({.devices = 1, .disk = SimDisk::Options()});
  world.RunFor(kConnect);
  world.StopDevice(0);
  world.RunFor(absl::Seconds(1));
  EXPECT_FALSE(world.Submit(0, absl::Seconds(1), absl::Seconds(20)).has_value()) << "nobody is there";
  const auto first = world.Submit(0, {.length = absl::Seconds(1), .ttl = absl::Seconds(20), .queue = true});
  const auto second =
      world.Submit(0, {.length = absl::Seconds(1), .ttl = absl::Seconds(20), .append = true, .queue = true});
  world.RunFor(absl::Seconds(5));
  world.StartDevice(0);
  world.RunFor(absl::Seconds(5));
  for (const auto& id : {first, second}) {
    EXPECT_EQ(world.server().state().commands().Find(*id)->state(), v1::COMMAND_STATE_DONE);
  }
}

// A wall clock that was wrong by an hour while the server was away must not make old commands young.
TEST(Restart, ServersSteadyClockGoesOnWhateverTheWallClockDid) {
  for (const absl::Duration jump : {absl::Hours(1), -absl::Hours(1)}) {
    World world({.devices = 1, .disk = SimDisk::Options(), .fail_safe = {.after = absl::Seconds(10)}});
    world.RunFor(kConnect);
    world.PartitionDevice(0, true);
    const auto id = world.Submit(0, absl::Seconds(1), absl::Seconds(6));
    world.RunFor(absl::Seconds(1));
    world.KillServer();
    world.JumpServerWall(jump);
    world.StartServer();
    world.RunFor(absl::Seconds(1));
    world.PartitionDevice(0, false);
    world.RunFor(absl::Seconds(6));
    EXPECT_EQ(world.command_truth().at(*id).starts, 1) << "it was in time all the while";
    EXPECT_EQ(world.server().state().commands().Find(*id)->state(), v1::COMMAND_STATE_DONE);
  }
}

TEST(Freeze, ServerThatStoodStillDeclaresNobodyDead) {
  World world({.devices = 5});
  world.RunFor(kConnect);
  for (const absl::Duration d : {absl::Seconds(3), absl::Seconds(20)}) {
    world.FreezeServer();
    world.RunFor(d);
    world.ThawServer();
    world.RunFor(absl::Seconds(5));
    ExpectAllOnline(world);
  }
  ExpectNobodyWasEver(world, State::kOffline);
}

TEST(Freeze, DeviceThatStoodStillIsSilentThenLostAndComesBack) {
  World world({.devices = 2});
  world.RunFor(kConnect);
  world.FreezeDevice(0);
  world.RunFor(absl::Seconds(3));
  EXPECT_EQ(world.Status(0).reason, Reason::kSilent);
  world.RunFor(absl::Seconds(10));
  EXPECT_EQ(world.Status(0).reason, Reason::kLost) << "the broker gave up and said so";
  world.ThawDevice(0);
  world.RunFor(absl::Seconds(5));
  ExpectAllOnline(world);
}

TEST(Clone, IsOneDeviceWithAnAlarmThatNeverFlaps) {
  World world({.devices = 3, .entities = 1, .has_clone = true});
  world.KillDevice(2);
  world.RunFor(kConnect);
  world.StartDevice(2);
  world.RunFor(absl::Seconds(20));
  world.TakeLiveness(0);
  EXPECT_TRUE(world.Seen(0).clone_alarm);
  EXPECT_EQ(world.server().state().registry().size(), 2u);
  EXPECT_FALSE(world.Submit(0, absl::Seconds(1), absl::Seconds(2)).has_value()) << "nobody knows which would obey";
  EXPECT_TRUE(world.Submit(1, absl::Seconds(1), absl::Seconds(2)).has_value());
  world.RunFor(absl::Minutes(2));
  EXPECT_EQ(world.Status(0).state, State::kOnline);
  EXPECT_EQ(world.Status(0).reason, Reason::kReplaced);
  EXPECT_TRUE(world.TakeLiveness(0).empty()) << "one row when it began, none since";
  world.KillDevice(2);
  world.RunFor(absl::Minutes(1));
  EXPECT_FALSE(world.Seen(0).clone_alarm);
  EXPECT_EQ(world.Status(0).reason, Reason::kNone);
  EXPECT_TRUE(world.Submit(0, absl::Seconds(1), absl::Seconds(2)).has_value());
  world.RunFor(absl::Seconds(5));
  for (const auto& [id, command] : world.store().commands()) {
    EXPECT_EQ(command.saved.steps.back().state, v1::COMMAND_STATE_DONE);
  }
}

}  // namespace
}  // namespace fleet
