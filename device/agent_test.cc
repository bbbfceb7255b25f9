#include "device/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/codec.h"
#include "common/testing/fake_clock.h"
#include "device/external_driver.h"
#include "device/simulated_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::AllOf;
using testing::Each;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kHeartbeat[] = "rpi/pi-1/heartbeat";
constexpr char kState[] = "rpi/pi-1/state";
constexpr char kStatus[] = "rpi/pi-1/status";
constexpr char kAck[] = "rpi/pi-1/command/ack";
constexpr char kSegment[] = "server/pi-1/segment";

template <typename MessageT>
MessageT Parse(const Publication& publication) {
  MessageT message;
  EXPECT_TRUE(message.ParseFromString(publication.payload)) << publication.topic;
  return message;
}

class AgentTest : public testing::Test {
 protected:
  AgentOptions Options(uint32_t entities = 3) const {
    AgentOptions options{
        .device = DeviceId::Parse("pi-1").value(), .epoch = 4, .started_unix_ms = 55, .version = "1.2"};
    for (uint32_t id = 1; id <= entities; ++id) {
      options.entities.push_back({EntityId{id}, std::make_unique<SimulatedDriver>()});
    }
    return options;
  }
  void Handle(const Input& input) { agent_->Handle(input, clock_, effects_); }
  void Connect() {
    Handle(LinkUp{});
    Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()});
  }
  void Command(const v1::Command& command) { Handle(Arrived{.topic = kSegment, .payload = Unsigned(command)}); }
  // As the loop does: sleeps until something is due.
  void Run(absl::Duration time) {
    const MonoTime until = clock_.Read().mono + time;
    while (agent_->NextDue() <= until) {
      clock_.Advance(std::max(agent_->NextDue() - clock_.Read().mono, absl::ZeroDuration()));
      agent_->Tick(clock_, effects_);
    }
    clock_.Advance(until - clock_.Read().mono);
  }
  // Takes what was published on `topic` out of the effects.
  std::vector<Publication> Take(absl::string_view topic) {
    std::vector<Publication> taken;
    for (Publication& p : effects_.publish) {
      if (p.topic == topic) taken.push_back(std::move(p));
    }
    std::erase_if(effects_.publish, [&](const Publication& p) { return p.topic.empty() || p.topic == topic; });
    return taken;
  }

  FakeClock clock_;
  std::optional<Agent> agent_{std::in_place, Options(), clock_};
  Effects effects_;
};

TEST_F(AgentTest, SaysOnlineFirstThenBeats) {
  Handle(LinkUp{});
  ASSERT_THAT(effects_.publish, SizeIs(2));
  EXPECT_THAT(effects_.publish[0], AllOf(Field(&Publication::topic, kStatus), Field(&Publication::qos, 1),
                                         Field(&Publication::retain, true)));
  const auto status = Parse<v1::Status>(effects_.publish[0]);
  EXPECT_EQ(status.presence(), v1::PRESENCE_ONLINE);
  EXPECT_EQ(status.epoch(), 4);
  EXPECT_EQ(status.started_unix_ms(), 55);
  EXPECT_EQ(status.version(), "1.2");
  EXPECT_THAT(status.entity_ids(), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(effects_.publish[1], AllOf(Field(&Publication::topic, kHeartbeat), Field(&Publication::qos, 0),
                                         Field(&Publication::retain, false)));
  const auto beat = Parse<v1::Heartbeat>(effects_.publish[1]);
  EXPECT_EQ(beat.epoch(), 4);
  EXPECT_EQ(beat.seq(), 1);
  EXPECT_EQ(beat.sent_unix_ms(), static_cast<uint64_t>(clock_.Read().unix_ms()));
}

TEST_F(AgentTest, WillAndGoodbyeCarryTheEpoch) {
  const auto will = Parse<v1::Status>(agent_->Will());
  EXPECT_EQ(will.presence(), v1::PRESENCE_LOST);
  EXPECT_EQ(will.epoch(), 4);
  EXPECT_TRUE(agent_->Will().retain);
  EXPECT_EQ(Parse<v1::Status>(agent_->Goodbye()).presence(), v1::PRESENCE_OFFLINE);
}

TEST_F(AgentTest, BeatsTwiceASecondForAnHourWithoutDrift) {
  Connect();
  const MonoTime start = clock_.Read().mono;
  Take(kHeartbeat);
  Run(absl::Hours(1));
  const auto beats = Take(kHeartbeat);
  EXPECT_THAT(beats, SizeIs(7200));
  EXPECT_EQ(Parse<v1::Heartbeat>(beats.back()).seq(), 7201);
  EXPECT_EQ(agent_->NextDue(), start + absl::Hours(1) + absl::Milliseconds(100));
}

TEST_F(AgentTest, ReportsAllEntitiesInOneMessageTenTimesASecond) {
  Connect();
  Run(absl::Seconds(10));
  const auto reports = Take(kState);
  EXPECT_THAT(reports, SizeIs(100));
  const auto last = Parse<v1::StateReport>(reports.back());
  EXPECT_EQ(last.entities().size(), 3);
  EXPECT_EQ(last.seq(), 100);
}

TEST_F(AgentTest, TwoHundredAndFiftySixEntitiesReportAndMove) {
  agent_.emplace(Options(256), clock_);
  Connect();
  for (uint32_t entity = 1; entity <= 256; ++entity) Command(LineFor(entity, entity, clock_));
  Run(absl::Seconds(10));
  const auto reports = Take(kState);
  EXPECT_THAT(reports, SizeIs(100));
  const auto last = Parse<v1::StateReport>(reports.back());
  ASSERT_EQ(last.entities().size(), 256);
  EXPECT_EQ(last.entities(255).x_mm(), 1000);
  EXPECT_EQ(agent_->executor().done(), 256);
  EXPECT_THAT(Take(kAck), Each(Field(&Publication::payload, SizeIs(testing::Lt(kMaxPayloadBytes)))));
}

TEST_F(AgentTest, AStallIsNotFollowedByABurst) {
  Connect();
  Run(absl::Seconds(1));
  effects_.Clear();
  clock_.Advance(absl::Seconds(30) + absl::Milliseconds(70));
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Take(kHeartbeat), SizeIs(1));
  EXPECT_THAT(Take(kState), SizeIs(1));
  EXPECT_EQ(agent_->NextDue(), clock_.Read().mono + absl::Milliseconds(30));  // back on the grid
}

TEST_F(AgentTest, WithoutALinkNothingIsSaidAndNoNumberUsed) {
  Connect();
  Run(absl::Seconds(1));
  const uint32_t beats = Parse<v1::Heartbeat>(Take(kHeartbeat).back()).seq();
  Handle(LinkDown{.reason = "broker gone"});
  effects_.Clear();
  Run(absl::Hours(1));
  EXPECT_THAT(effects_.publish, IsEmpty());
  Handle(LinkUp{});
  EXPECT_EQ(Parse<v1::Heartbeat>(Take(kHeartbeat).back()).seq(), beats + 1);
  Run(absl::Seconds(1));
  EXPECT_THAT(Take(kHeartbeat), SizeIs(2));
  EXPECT_THAT(Take(kState), SizeIs(10));
}

TEST_F(AgentTest, JumpsOfTheWallClockShowInTheMessagesOnly) {
  Connect();
  effects_.Clear();
  clock_.JumpWall(-absl::Hours(24 * 365 * 60));  // before 1970
  Run(absl::Seconds(1));
  const auto beats = Take(kHeartbeat);
  ASSERT_THAT(beats, SizeIs(2));
  EXPECT_EQ(Parse<v1::Heartbeat>(beats[0]).sent_unix_ms(), 0);
}

TEST_F(AgentTest, TheStepsOfOneTurnAreOneReport) {
  Connect();
  Command(LineFor(2, 7, clock_));
  const auto acks = Take(kAck);
  ASSERT_THAT(acks, SizeIs(1));
  EXPECT_EQ(acks[0].qos, 1);
  const auto report = Parse<v1::CommandReport>(acks[0]);
  EXPECT_EQ(report.epoch(), 4);
  ASSERT_EQ(report.updates().size(), 3);
  EXPECT_EQ(report.updates(2).state(), v1::COMMAND_STATE_RUNNING);
  Run(absl::Seconds(3));
  const auto later = Take(kAck);
  ASSERT_THAT(later, SizeIs(1));
  EXPECT_EQ(Parse<v1::CommandReport>(later[0]).updates(0).state(), v1::COMMAND_STATE_DONE);
}

TEST_F(AgentTest, StepsWithoutALinkAreSaidOnTheNextOne) {
  Connect();
  Command(LineFor(1, 7, clock_));
  effects_.Clear();
  Handle(LinkDown{});
  Run(absl::Minutes(1));
  EXPECT_THAT(effects_.publish, IsEmpty());
  Handle(LinkUp{});
  ASSERT_THAT(effects_.publish, SizeIs(3));
  EXPECT_EQ(effects_.publish[0].topic, kStatus);
  EXPECT_EQ(Parse<v1::CommandReport>(effects_.publish[2]).updates(0).state(), v1::COMMAND_STATE_DONE);
}

TEST_F(AgentTest, AReportThatTheLinkRefusedIsSaidAgain) {
  Connect();
  Command(LineFor(1, 7, clock_));
  Publication refused = Take(kAck).at(0);
  Handle(PublishRefused{refused});
  EXPECT_THAT(Take(kAck), IsEmpty());
  Run(absl::Milliseconds(100));
  const auto again = Take(kAck);
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].payload, refused.payload);
  EXPECT_EQ(agent_->counters().refused_publications, 1);
}

TEST_F(AgentTest, MoreThanAThousandWaitingStepsLoseTheOldest) {
  Connect();
  Handle(LinkDown{});
  for (uint64_t id = 1; id <= 1001; ++id) Command(LineFor(99, id, clock_));
  EXPECT_EQ(agent_->counters().dropped_updates, 1);
  effects_.Clear();
  Handle(LinkUp{});
  const auto acks = Take(kAck);
  ASSERT_THAT(acks, SizeIs(10));
  EXPECT_EQ(Parse<v1::CommandReport>(acks[0]).updates(0).command_id(), 2);
  EXPECT_EQ(Parse<v1::CommandReport>(acks[9]).updates(99).command_id(), 1001);
}

TEST_F(AgentTest, BadBytesStallNothing) {
  Connect();
  effects_.Clear();
  for (const char* topic : {kSegment, kServerBeatTopic, "server/other/segment", ""}) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, kMaxPayloadBytes + 1}) {
      Handle(Arrived{.topic = topic, .payload = std::string(size, '\xff')});
    }
  }
  EXPECT_THAT(effects_.publish, IsEmpty());
  EXPECT_EQ(agent_->counters().unknown_topics, 8);
  EXPECT_EQ(agent_->counters().bad_beats, 3);  // of no bytes it is a beat without content
  Command(LineFor(1, 7, clock_));
  EXPECT_THAT(Take(kAck), SizeIs(1));
}

TEST_F(AgentTest, ABeatThatTheBrokerKeptTellsNoTime) {
  Handle(LinkUp{});
  Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString(), .retained = true});
  Command(LineFor(1, 7, clock_));
  EXPECT_EQ(Parse<v1::CommandReport>(Take(kAck).at(0)).updates(0).reason(), "memory_lost");
  EXPECT_EQ(agent_->counters().bad_beats, 1);
}

TEST_F(AgentTest, ARateOfZeroReportsNothing) {
  AgentOptions options = Options();
  options.state_period = PeriodOf(0);
  Agent quiet(std::move(options), clock_);
  quiet.Handle(LinkUp{}, clock_, effects_);
  effects_.Clear();
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Milliseconds(100));
    quiet.Tick(clock_, effects_);
  }
  EXPECT_THAT(Take(kState), IsEmpty());
  EXPECT_THAT(Take(kHeartbeat), SizeIs(20));
}

TEST_F(AgentTest, PhasesSpreadAgentsOverThePeriod) {
  AgentOptions options = Options();
  options.phase = absl::Milliseconds(37);
  Agent agent(std::move(options), clock_);
  agent.Handle(LinkUp{}, clock_, effects_);
  agent.Tick(clock_, effects_);  // says that it started
  EXPECT_EQ(agent.NextDue(), clock_.Read().mono + absl::Milliseconds(37));
}

TEST_F(AgentTest, AnExternalEntityIsReportedFromItsFirstPoseOn) {
  AgentOptions options = Options(1);
  options.entities.push_back({EntityId{9}, std::make_unique<ExternalDriver>()});
  Agent agent(std::move(options), clock_);
  agent.Handle(LinkUp{}, clock_, effects_);
  clock_.Advance(absl::Milliseconds(100));
  agent.Tick(clock_, effects_);
  EXPECT_EQ(Parse<v1::StateReport>(Take(kState).back()).entities_size(), 1);
  agent.Handle(PoseFed{.entity = EntityId{9}, .pose = {.x_mm = -5}}, clock_, effects_);
  clock_.Advance(absl::Milliseconds(100));
  agent.Tick(clock_, effects_);
  const auto report = Parse<v1::StateReport>(Take(kState).back());
  ASSERT_EQ(report.entities().size(), 2);
  EXPECT_EQ(report.entities(1).x_mm(), -5);
}

}  // namespace
}  // namespace fleet::device
