#include "device/linked_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"
#include "device/simulated_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Takes what it is given, or refuses it.
class ScriptedLink : public MqttLink {
 public:
  MonoTime Tick(MonoTime) override { return MonoTime::Max(); }
  absl::Status Publish(const Publication& publication) override {
    if (refuses) return absl::ResourceExhaustedError("full");
    taken.push_back(publication);
    return absl::OkStatus();
  }
  absl::Status Close(const std::optional<Publication>& last, absl::Duration) override {
    goodbye = last;
    return absl::OkStatus();
  }

  bool refuses = false;
  std::vector<Publication> taken;
  std::optional<Publication> goodbye;
};

class LinkedAgentTest : public testing::Test {
 protected:
  LinkedAgentTest() : agent_(Options(), clock_) {
    auto link = std::make_unique<ScriptedLink>();
    link_ = link.get();
    agent_.Attach(std::move(link));
  }
  static AgentOptions Options() {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value()};
    options.entities.push_back({EntityId{1}, std::make_unique<SimulatedDriver>()});
    return options;
  }

  FakeClock clock_;
  LinkedAgent agent_;
  ScriptedLink* link_;
};

class SpooledAgentTest : public testing::Test {
 protected:
  SpooledAgentTest() : agent_(Options(), clock_) {
    agent_.Attach(std::make_unique<ScriptedLink>());
    agent_.SetSpoolSink([this](SpoolWork work) { works_.push_back(std::move(work)); });
    agent_.Handle(LinkUp{}, clock_);
    agent_.Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()}, clock_);
    agent_.Turn(clock_);
  }
  static AgentOptions Options() {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value(), .spool = SpoolContents()};
    options.entities.push_back({EntityId{1}, std::make_unique<SimulatedDriver>()});
    return options;
  }

  FakeClock clock_;
  std::vector<SpoolWork> works_;
  LinkedAgent agent_;
};

TEST_F(LinkedAgentTest, AsksItsLinkForWillAndSubscriptions) {
  const LinkOptions options = agent_.CompleteLinkOptions({.url = "tcp://h:1"});
  EXPECT_EQ(options.url, "tcp://h:1");
  EXPECT_EQ(options.client_id, "pi-1");
  EXPECT_EQ(options.will->topic, "rpi/pi-1/status");
  const auto subscription = [](const char* filter, int qos) {
    return AllOf(Field(&Subscription::filter, filter), Field(&Subscription::qos, qos));
  };
  EXPECT_THAT(
      options.subscriptions,
      UnorderedElementsAre(subscription("server/pi-1/segment", 1), subscription("server/pi-1/cancel", 1),
                           subscription("server/pi-1/can/+/tx", 1), subscription("server/pi-1/modbus/command", 1),
                           subscription("server/pi-1/receipt", 1), subscription("server/beat", 0)));
}

TEST_F(LinkedAgentTest, CountsWhatTheLinkTook) {
  agent_.Handle(LinkUp{}, clock_);
  EXPECT_EQ(agent_.sent(DeviceTopic::kStatus), 1);
  EXPECT_EQ(agent_.sent(DeviceTopic::kHeartbeat), 1);
  agent_.Turn(clock_);
  const uint64_t states = agent_.sent(DeviceTopic::kState);
  link_->refuses = true;
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(absl::Milliseconds(500));
    EXPECT_GT(agent_.Turn(clock_), clock_.Read().mono);
  }
  EXPECT_EQ(agent_.sent(DeviceTopic::kHeartbeat), 1);
  EXPECT_EQ(agent_.sent(DeviceTopic::kState), states);
  EXPECT_EQ(agent_.agent().counters().refused_publications, 8);
}

TEST_F(LinkedAgentTest, AnAnswerThatTheLinkRefusedComesThroughLater) {
  agent_.Handle(LinkUp{}, clock_);
  agent_.Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()}, clock_);
  link_->taken.clear();
  link_->refuses = true;
  agent_.Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 7, clock_))}, clock_);
  EXPECT_THAT(link_->taken, IsEmpty());
  link_->refuses = false;
  clock_.Advance(absl::Milliseconds(100));
  agent_.Turn(clock_);
  ASSERT_FALSE(link_->taken.empty());
  v1::CommandReport report;
  ASSERT_TRUE(report.ParseFromString(link_->taken[0].payload));
  EXPECT_EQ(report.updates().size(), 3);
  EXPECT_EQ(agent_.sent(DeviceTopic::kCommandAck), 1);
}

TEST_F(SpooledAgentTest, WorksAreNumberedAndACommandStartsWhenItsOwnIsDone) {
  works_.clear();
  agent_.Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 7, clock_))}, clock_);
  agent_.Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(AppendFor(1, 8, clock_))}, clock_);
  ASSERT_EQ(works_.size(), 2);
  EXPECT_EQ(works_[1].number, works_[0].number + 1);
  EXPECT_THAT(works_[0].remember, ElementsAre(Field(&RememberedCommand::id, 7)));
  EXPECT_FALSE(agent_.agent().executor().NextDue() < clock_.Read().mono + absl::Seconds(5));
  agent_.Handle(SpoolDone{.number = works_[0].number, .asked = works_[0]}, clock_);
  EXPECT_EQ(agent_.agent().executor().NextDue(), clock_.Read().mono + absl::Seconds(2));
  EXPECT_THAT(works_.back().remember, ElementsAre(Field(&RememberedCommand::state, v1::COMMAND_STATE_RUNNING)));
}

TEST_F(SpooledAgentTest, AFlushGivesTheDiskWhatIsInMemoryOnly) {
  agent_.Handle(SamplesTaken{{{.signal = "motor/rpm", .value = 7}}}, clock_);
  works_.clear();
  agent_.Flush(clock_);
  ASSERT_EQ(works_.size(), 1);
  ASSERT_EQ(works_[0].put.size(), 1);
  EXPECT_EQ(works_[0].put[0].stream, v1::STREAM_TELEMETRY);
}

TEST_F(LinkedAgentTest, ClosesWithAGoodbye) {
  ASSERT_TRUE(agent_.Close(absl::Seconds(1)).ok());
  v1::Status status;
  ASSERT_TRUE(status.ParseFromString(link_->goodbye.value().payload));
  EXPECT_EQ(status.presence(), v1::PRESENCE_OFFLINE);
}

}  // namespace
}  // namespace fleet::device
