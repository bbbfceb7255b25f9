// What the agent tells besides where it is and what became of commands: events, telemetry, its fail-safe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/testing/fake_clock.h"
#include "device/agent.h"
#include "device/simulated_driver.h"
#include "device/testing/commands.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kStatus[] = "rpi/pi-1/status";
constexpr char kAck[] = "rpi/pi-1/command/ack";
constexpr char kEvent[] = "rpi/pi-1/event";
constexpr char kTelemetry[] = "rpi/pi-1/telemetry";

class AgentStreamsTest : public testing::Test {
 protected:
  AgentStreamsTest() { Begin(); }

  void Begin() {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value(),
                         .epoch = 4,
                         .version = "1.2",
                         .fail_safe = fail_safe_,
                         .spool = spool_};
    options.entities.push_back({EntityId{1}, std::make_unique<SimulatedDriver>()});
    agent_.emplace(std::move(options), clock_);
    effects_ = {};
  }
  void Handle(const Input& input) { agent_->Handle(input, clock_, effects_); }
  void Beat() { Handle(Arrived{.topic = kServerBeatTopic, .payload = BeatAt(clock_).SerializeAsString()}); }
  void Connect() {
    Handle(LinkUp{});
    Beat();
    Run(absl::ZeroDuration());
  }
  // Until nothing is due any more.
  void Run(absl::Duration time) {
    const MonoTime until = clock_.Read().mono + time;
    while (agent_->NextDue() <= until) {
      clock_.Advance(std::max(agent_->NextDue() - clock_.Read().mono, absl::ZeroDuration()));
      agent_->Tick(clock_, effects_);
    }
    clock_.Advance(until - clock_.Read().mono);
  }
  std::vector<Publication> Take(absl::string_view topic) {
    std::vector<Publication> taken;
    for (const Publication& p : effects_.publish) {
      if (p.topic == topic) taken.push_back(p);
    }
    std::erase_if(effects_.publish, [&](const Publication& p) { return p.topic == topic; });
    return taken;
  }
  // "STARTED(1.2) FAIL_SAFE_ON(3000)": what was published.
  std::string Events() {
    std::string text;
    for (const Publication& publication : Take(kEvent)) {
      v1::EventBatch batch;
      EXPECT_TRUE(batch.ParseFromString(publication.payload));
      for (const v1::Event& event : batch.events()) {
        absl::StrAppend(&text, text.empty() ? "" : " ", v1::EventKind_Name(event.kind()).substr(11), "(",
                        event.detail(), ")");
      }
    }
    return text;
  }
  // Of every status that was published: "1" in fail-safe, "0" not.
  std::string FailSafes() {
    std::string text;
    for (const Publication& publication : Take(kStatus)) {
      v1::Status status;
      EXPECT_TRUE(status.ParseFromString(publication.payload));
      EXPECT_EQ(status.presence(), v1::PRESENCE_ONLINE);
      text += status.fail_safe() ? "1" : "0";
    }
    return text;
  }
  std::string Steps() {
    std::vector<v1::CommandUpdate> updates;
    for (const Publication& publication : Take(kAck)) {
      v1::CommandReport report;
      EXPECT_TRUE(report.ParseFromString(publication.payload));
      updates.insert(updates.end(), report.updates().begin(), report.updates().end());
    }
    return StepsOf(updates);
  }

  FakeClock clock_;
  FailSafeOptions fail_safe_;
  std::optional<SpoolContents> spool_;
  std::optional<Agent> agent_;
  Effects effects_;
};

TEST_F(AgentStreamsTest, TellsThatItStarted) {
  Connect();
  EXPECT_EQ(Events(), "STARTED(1.2)");
  EXPECT_EQ(agent_->made(DeviceTopic::kEvent), 1);
  EXPECT_EQ(agent_->outbox().waiting(v1::STREAM_EVENT), 1);
}

TEST_F(AgentStreamsTest, AReceiptEndsTheWaiting) {
  Connect();
  v1::Receipt receipt;
  v1::ReceiptRange& range = *receipt.add_ranges();
  range.set_stream(v1::STREAM_EVENT);
  range.set_epoch(4);
  range.set_first_seq(1);
  range.set_last_seq(1);
  Handle(Arrived{.topic = "server/pi-1/receipt", .payload = receipt.SerializeAsString()});
  EXPECT_EQ(agent_->outbox().waiting(v1::STREAM_EVENT), 0);
  Handle(Arrived{.topic = "server/pi-1/receipt", .payload = "\xff"});
  EXPECT_EQ(agent_->counters().bad_receipts, 1);
}

TEST_F(AgentStreamsTest, WhatProgramsOnTheDeviceTellGoesOut) {
  Connect();
  Events();
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_REPORTED);
  event.set_detail("door open");
  Handle(EventTold{event});
  Handle(SamplesTaken{{{.signal = "motor/rpm", .value = 7}, {.signal = "motor/rpm", .value = 8}}});
  Run(absl::Seconds(1));
  EXPECT_EQ(Events(), "REPORTED(door open)");
  const auto batches = Take(kTelemetry);
  ASSERT_THAT(batches, SizeIs(1));
  v1::TelemetryBatch batch;
  ASSERT_TRUE(batch.ParseFromString(batches[0].payload));
  EXPECT_THAT(batch.value(), ElementsAre(7, 8));
  EXPECT_EQ(agent_->made(DeviceTopic::kTelemetry), 1);
}

TEST_F(AgentStreamsTest, AnEventThatTheLinkRefusedIsSentAgain) {
  Connect();
  const Publication refused = Take(kEvent).at(0);
  Handle(PublishRefused{refused});
  Run(absl::Seconds(6));
  EXPECT_FALSE(Take(kEvent).empty());
}

TEST_F(AgentStreamsTest, AStopIsTakenFromItsOwnTopicAndRecorded) {
  Connect();
  Events();
  Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 7, clock_))});
  Steps();
  const std::string stop = Unsigned(StopWith(9, clock_));
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = stop});
  EXPECT_EQ(Steps(), "9:RECEIVED 9:ACCEPTED 7:CANCELLED(stopped) 9:DONE");
  Handle(Arrived{.topic = "server/pi-1/cancel", .payload = stop});
  EXPECT_EQ(Steps(), "9:DONE");
  Run(absl::ZeroDuration());
  EXPECT_EQ(Events(), "STOPPED(command 9 ended 1)");
}

TEST_F(AgentStreamsTest, FailSafeBeginsWithoutAnyBeatAndEndsWithTheFirst) {
  Run(absl::Seconds(10));
  EXPECT_TRUE(agent_->fail_safe());
  EXPECT_THAT(effects_.publish, IsEmpty());
  Handle(LinkUp{});
  EXPECT_EQ(FailSafes(), "1");
  Beat();
  EXPECT_EQ(FailSafes(), "0");
  EXPECT_FALSE(agent_->fail_safe());
  Run(absl::ZeroDuration());
  EXPECT_EQ(Events(), "FAIL_SAFE_OFF(10000) STARTED(1.2) FAIL_SAFE_ON(3000)");  // what is new goes first
}

TEST_F(AgentStreamsTest, SilenceStopsWhatRunsAndIsSaid) {
  Connect();
  Events();
  FailSafes();
  clock_.Advance(absl::Seconds(2));
  Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 7, clock_))});
  Steps();
  Run(absl::Milliseconds(999));
  EXPECT_EQ(FailSafes(), "");
  Run(absl::Milliseconds(1));
  EXPECT_EQ(Steps(), "7:FAILED(fail_safe)");
  EXPECT_EQ(FailSafes(), "1");
  EXPECT_EQ(Events(), "FAIL_SAFE_ON(3000)");
  Beat();
  EXPECT_EQ(FailSafes(), "0");
  Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 8, clock_))});
  EXPECT_EQ(Steps(), "8:RECEIVED 8:ACCEPTED 8:RUNNING");
}

TEST_F(AgentStreamsTest, ItsPolicyAndTimeAreConfigured) {
  fail_safe_ = {.after = absl::Milliseconds(1500), .policy = FailSafePolicy::kContinue};
  Begin();
  Connect();
  Events();
  Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 7, clock_))});
  Run(absl::Seconds(2));
  EXPECT_EQ(Events(), "FAIL_SAFE_ON(1500)");
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED 7:RUNNING 7:DONE");
}

TEST_F(AgentStreamsTest, JumpsOfTheWallClockAreNoSilence) {
  Connect();
  for (int i = 0; i < 20; ++i) {
    clock_.JumpWall(absl::Hours(i % 2 == 0 ? 1 : -1));
    Run(absl::Seconds(1));
    Beat();
  }
  EXPECT_EQ(Events().find("FAIL_SAFE"), std::string::npos);
}

TEST_F(AgentStreamsTest, AStatusThatTheLinkRefusedIsSaidAgain) {
  Connect();
  Publication refused = Take(kStatus).at(0);
  Handle(PublishRefused{refused});
  EXPECT_EQ(FailSafes(), "");
  Run(absl::Milliseconds(100));
  EXPECT_EQ(FailSafes(), "0");
}

TEST_F(AgentStreamsTest, WithASpoolACommandRunsWhenTheDiskRemembersIt) {
  spool_.emplace();
  Begin();
  Connect();
  effects_.spool = {};
  Handle(Arrived{.topic = "server/pi-1/segment", .payload = Unsigned(LineFor(1, 7, clock_))});
  EXPECT_EQ(Steps(), "7:RECEIVED 7:ACCEPTED");
  ASSERT_THAT(effects_.spool.remember, SizeIs(1));
  const SpoolDone done{.asked = std::exchange(effects_.spool, {})};
  Handle(done);
  EXPECT_EQ(Steps(), "7:RUNNING");
  EXPECT_EQ(effects_.spool.remember.at(0).state, v1::COMMAND_STATE_RUNNING);
}

TEST_F(AgentStreamsTest, WhatARestartEndedIsReportedByItself) {
  spool_.emplace();
  spool_->commands = {{.id = 7, .expires_ms = 1, .entity_id = 1, .state = v1::COMMAND_STATE_RUNNING}};
  Begin();
  Connect();
  EXPECT_EQ(Steps(), "7:FAILED(device_restarted)");
  EXPECT_EQ(effects_.spool.remember.at(0).reason, "device_restarted");
}

TEST_F(AgentStreamsTest, ADamagedSpoolIsAnEvent) {
  spool_.emplace();
  spool_->damaged = "malformed";
  Begin();
  Connect();
  EXPECT_EQ(Events(), "SPOOL_DAMAGED(malformed) STARTED(1.2)");
}

}  // namespace
}  // namespace fleet::device
