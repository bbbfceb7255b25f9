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
  uint64_t sent = world.beats_published() * world.size() + world.probes_published();
  uint64_t arrived = world.beats_arrived() + world.probes_arrived();
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
  for (const auto& [id, command] : world.store().commands()) ++ends[command.steps.back().state];
  EXPECT_GE(ends[v1::COMMAND_STATE_DONE] + ends[v1::COMMAND_STATE_SUPERSEDED], 5 * 2 * 18);
  EXPECT_EQ(ends[v1::COMMAND_STATE_UNKNOWN] + ends[v1::COMMAND_STATE_EXPIRED] + ends[v1::COMMAND_STATE_REJECTED], 0);
}

// Something bad, drawn by lot, and now and then the end of something bad.
class Misfortune {
 public:
  explicit Misfortune(World& world) : world_(world) {}

  void Strike() {
    const size_t i = world_.random()() % world_.size();
    switch (world_.random()() % 12) {
      case 0:
        return world_.PartitionDevice(i, true);
      case 1:
        return world_.PartitionDevice(i, false);
      case 2:
        return world_.PartitionServer(world_.random()() % 2 == 0);
      case 3:
        if (world_.device(i).is_on()) world_.KillDevice(i);
        return;
      case 4:
        if (world_.device(i).is_on()) world_.StopDevice(i);
        return;
      case 5:
        if (!world_.device(i).is_on()) world_.StartDevice(i);
        return;
      case 6:
        if (world_.server_is_on()) world_.KillServer();
        return;
      case 7:
        if (world_.server_is_on()) world_.StopServer();
        return;
      case 8:
        if (!world_.server_is_on()) world_.StartServer();
        return;
      case 9:
        return world_.broker().Restart(world_.random()() % 2 == 0);
      case 10:
        return world_.broker().Kill(world_.random()() % 2 == 0 ? kServerClientId : world_.device(i).id().str());
      case 11:
        world_.JumpDeviceWall(i, absl::Seconds(static_cast<int64_t>(world_.random()() % 7200) - 3600));
        return;
    }
  }

  void End() {
    world_.broker().SetFaults({});
    world_.PartitionServer(false);
    for (size_t i = 0; i < world_.size(); ++i) {
      world_.PartitionDevice(i, false);
      if (!world_.device(i).is_on()) world_.StartDevice(i);
    }
    if (!world_.server_is_on()) world_.StartServer();
  }

 private:
  World& world_;
};

WorldOptions BadWorldOptions(uint64_t seed) {
  return {.devices = 4,
          .entities = 2,
          .seed = seed,
          .faults = {.loss = 0.05, .duplicate = 0.05, .delay_max = absl::Milliseconds(200)},
          .state_rate_hz = 2};
}

// A minute in which everything goes wrong while commands are given, then half a minute of peace.
void LiveThrough(World& world) {
  Misfortune misfortune(world);
  world.RunFor(kConnect);
  for (int step = 0; step < 120; ++step) {
    if (world.random()() % 4 == 0) misfortune.Strike();
    const auto length = absl::Milliseconds(world.random()() % 3000);
    const auto ttl = absl::Milliseconds(50 + world.random()() % 4000);
    world.Submit(world.random()() % world.size(), length, ttl, 1 + world.random()() % 3);  // entity 3 does not exist
    world.RunFor(absl::Milliseconds(world.random()() % 1000));
  }
  misfortune.End();
  world.RunFor(absl::Seconds(30));
}

void ExpectCommandIsTrue(const World& world, CommandId id, const server::SavedCommand& command) {
  const v1::CommandState end = command.steps.back().state;
  const CommandTruth& truth = world.command_truth().at(id);
  EXPECT_TRUE(server::HasEnded(end)) << "open for ever as " << server::Name(end);
  switch (end) {
    case v1::COMMAND_STATE_DONE:
    case v1::COMMAND_STATE_SUPERSEDED:
      EXPECT_EQ(truth.starts, 1) << "said to have run";
      break;
    case v1::COMMAND_STATE_REJECTED:
    case v1::COMMAND_STATE_EXPIRED:
      EXPECT_EQ(truth.starts, 0) << "said never to have run: " << command.steps.back().reason;
      EXPECT_NE(command.steps.back().reason, "");
      break;
    default:
      EXPECT_NE(command.steps.back().reason, "");
      break;
  }
}

TEST(Commands, UnderAllFaultsEachEndsTruthfullyAndRunsAtMostOnceAndInTime) {
  std::map<v1::CommandState, int> ends;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(BadWorldOptions(seed));
    LiveThrough(world);
    ExpectAllOnline(world);
    for (const auto& [id, command] : world.store().commands()) {
      SCOPED_TRACE(testing::Message() << "command " << Number(id));
      ExpectCommandIsTrue(world, id, command);
      ++ends[command.steps.back().state];
    }
    if (HasFailure()) return;
  }
  for (const auto& [state, count] : ends) {
    RecordProperty(std::string(server::Name(state)), count);
    std::cout << server::Name(state) << " " << count << "\n";
  }
  for (auto state : {v1::COMMAND_STATE_DONE, v1::COMMAND_STATE_SUPERSEDED, v1::COMMAND_STATE_REJECTED,
                     v1::COMMAND_STATE_EXPIRED, v1::COMMAND_STATE_UNKNOWN}) {
    EXPECT_GT(ends[state], 100) << "the faults no longer reach " << server::Name(state);
  }
}

TEST(Replay, SameSeedIsTheSameRunAndAnotherIsNot) {
  const auto run = [](uint64_t seed) {
    World world(BadWorldOptions(seed));
    LiveThrough(world);
    return world.hash();
  };
  const uint64_t first = run(1);
  EXPECT_EQ(run(1), first);
  EXPECT_NE(run(2), first);
}

}  // namespace
}  // namespace fleet
