#include "device/linked_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"
#include "device/simulated_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

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

TEST_F(LinkedAgentTest, AsksItsLinkForWillAndSubscriptions) {
  const LinkOptions options = agent_.CompleteLinkOptions({.url = "tcp://h:1"});
  EXPECT_EQ(options.url, "tcp://h:1");
  EXPECT_EQ(options.client_id, "pi-1");
  EXPECT_EQ(options.will->topic, "rpi/pi-1/status");
  ASSERT_THAT(options.subscriptions, SizeIs(2));
  EXPECT_EQ(options.subscriptions[0].filter, "server/pi-1/segment");
  EXPECT_EQ(options.subscriptions[0].qos, 1);
}

TEST_F(LinkedAgentTest, CountsWhatTheLinkTook) {
  agent_.Handle(LinkUp{}, clock_);
  EXPECT_EQ(agent_.sent(DeviceTopic::kStatus), 1);
  EXPECT_EQ(agent_.sent(DeviceTopic::kHeartbeat), 1);
  link_->refuses = true;
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(absl::Milliseconds(500));
    agent_.Turn(clock_);
  }
  EXPECT_EQ(agent_.sent(DeviceTopic::kHeartbeat), 1);
  EXPECT_EQ(agent_.agent().counters().refused_publications, 20);
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

TEST_F(LinkedAgentTest, ClosesWithAGoodbye) {
  ASSERT_TRUE(agent_.Close(absl::Seconds(1)).ok());
  v1::Status status;
  ASSERT_TRUE(status.ParseFromString(link_->goodbye.value().payload));
  EXPECT_EQ(status.presence(), v1::PRESENCE_OFFLINE);
}

}  // namespace
}  // namespace fleet::device
