#include "server/sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"
#include "common/topics.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Writes down what it is given, until it is full.
class RecordingLink : public MqttLink {
 public:
  MonoTime Tick(MonoTime) override { return MonoTime::Max(); }
  absl::Status Publish(const Publication& publication) override {
    if (room == 0) return absl::ResourceExhaustedError("full");
    --room;
    sent.push_back(publication.topic + (publication.qos == 1 ? " 1" : " 0"));
    return absl::OkStatus();
  }
  absl::Status Close(const std::optional<Publication>&, absl::Duration) override { return absl::OkStatus(); }

  int room = 1000;
  std::vector<std::string> sent;  // topic and QoS
};

class SenderTest : public testing::Test {
 protected:
  SenderTest() {
    fleet_.Beat("a", 1);
    fleet_.Beat("b", 1);
    clock_.Advance(absl::Seconds(1));
    fleet_.Turn();  // with a beat that both have heard
    fleet_.Beat("a", 2);
    fleet_.Beat("b", 2);
    fleet_.changes.publish.clear();
  }
  CommandId Submit() {
    v1::Segment hold;
    hold.set_type(v1::SEGMENT_TYPE_HOLD);
    return *fleet_.state.Submit("a", hold, {.ttl = absl::Seconds(5)}, clock_, fleet_.changes);
  }
  CommandId Stop() {
    v1::Cancel stop;
    stop.set_stop(true);
    return *fleet_.state.CancelOn("a", stop, absl::Seconds(5), clock_, fleet_.changes)->sent;
  }
  // As App does it.
  void Turn() {
    sender_.SendStops(link_, fleet_.state, fleet_.changes, clock_);
    fleet_.Turn();
    sender_.SendRest(link_, fleet_.state, fleet_.changes, clock_);
  }
  void Commit() { fleet_.state.Committed(fleet_.changes.rows.number, fleet_.changes); }
  v1::CommandState StateOf(CommandId id) { return fleet_.state.commands().Find(id)->state(); }

  FakeClock clock_;
  TestFleet fleet_{clock_};
  const Dispatcher dispatcher_ = *Dispatcher::Open("");
  Sender sender_{dispatcher_};
  RecordingLink link_;
};

TEST_F(SenderTest, AStopGoesOutBeforeAllElseAtBothQosAndBeforeItIsStored) {
  v1::Segment hold;
  hold.set_type(v1::SEGMENT_TYPE_HOLD);
  ASSERT_TRUE(fleet_.state.Submit("b", hold, {.ttl = absl::Seconds(5)}, clock_, fleet_.changes).ok());
  Commit();
  fleet_.TakeRows();
  const CommandId stop = Stop();
  clock_.Advance(absl::Seconds(1));  // a beat and a probe are due as well
  Turn();
  EXPECT_THAT(link_.sent, ElementsAre("server/a/cancel 0", "server/a/cancel 1", "server/beat 0", "server/probe 0",
                                      "server/b/segment 1"));
  EXPECT_EQ(StateOf(stop), v1::COMMAND_STATE_SENT);
  Commit();
  Turn();
  EXPECT_EQ(link_.sent.size(), 5u) << "once is enough";
}

TEST_F(SenderTest, ACommandFollowsTheBeatThatItsDeviceNeeds) {
  clock_.Advance(absl::Milliseconds(10));
  fleet_.Say("a", v1::PRESENCE_ONLINE);
  Submit();
  Commit();
  Turn();
  EXPECT_THAT(link_.sent, ElementsAre("server/beat 0", "server/a/segment 1"));
}

TEST_F(SenderTest, AStopFollowsTheBeatThatItsDeviceNeeds) {
  clock_.Advance(absl::Milliseconds(10));
  fleet_.Say("a", v1::PRESENCE_ONLINE);
  Stop();
  Turn();
  EXPECT_THAT(link_.sent, ElementsAre("server/beat 0", "server/a/cancel 0", "server/a/cancel 1"));
}

TEST_F(SenderTest, WhatTheLinkRefusesWaitsWithAllBehindIt) {
  const CommandId first = Submit();
  const CommandId second = Submit();
  Commit();
  link_.room = 0;
  Turn();
  EXPECT_EQ(StateOf(first), v1::COMMAND_STATE_QUEUED);
  link_.room = 1000;
  Turn();
  EXPECT_THAT(link_.sent, IsEmpty()) << "the link is left alone for a moment";
  clock_.Advance(absl::Milliseconds(100));
  Turn();
  EXPECT_THAT(link_.sent, ElementsAre("server/a/segment 1", "server/a/segment 1"));
  EXPECT_EQ(StateOf(second), v1::COMMAND_STATE_SENT);
}

TEST_F(SenderTest, LivePublicationsThatAreRefusedAreDroppedAndCounted) {
  fleet_.changes.publish = {{.topic = "server/beat"}, {.topic = "server/probe"}};
  link_.room = 1;
  sender_.SendRest(link_, fleet_.state, fleet_.changes, clock_);
  EXPECT_THAT(link_.sent, ElementsAre("server/beat 0"));
  EXPECT_EQ(sender_.refused(), 1u);
  EXPECT_THAT(fleet_.changes.publish, IsEmpty());
}

}  // namespace
}  // namespace fleet::server
