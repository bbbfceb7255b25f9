#include "device/summary_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"
#include "device/agent.h"
#include "device/local_signals.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

DeviceId Device() {
  return DeviceId::Parse("pi-1").value();
}

PublishRequest RequestOf(absl::string_view json) {
  return ParsePublishRequest(json).value();
}

class SummaryTest : public testing::Test {
 protected:
  CurrentSignal Signal(std::string name, double value, absl::Duration age) const {
    return {.name = std::move(name), .text = "", .value = value, .heard_at = clock_.Read().mono - age};
  }

  FakeClock clock_;
  SummaryReporter reporter_{Device(), Schedule(clock_.Read().mono, absl::ZeroDuration()), clock_.Read().mono};
};

TEST_F(SummaryTest, HasNumbersWordsAndWhatIsInvalid) {
  clock_.Advance(absl::Seconds(20));
  std::vector<CurrentSignal> signals = {
      Signal("engine/rpm", 3500.5, absl::Milliseconds(420)), Signal("oil/temp", kNaN, absl::Seconds(9)),
      Signal("vehicle/gear", 126, absl::ZeroDuration()), Signal("app/note", kNaN, absl::Seconds(-1))};
  signals[2].text = "D";
  signals[2].is_word = true;
  signals[3].text = "say \"ok\" \\";
  signals[3].is_word = true;
  const Publication summary = reporter_.Make(signals, clock_);
  EXPECT_EQ(summary.topic, "rpi/pi-1/gateway/summary");
  EXPECT_EQ(summary.qos, 1);
  EXPECT_THAT(summary.payload, StartsWith("{\"timestamp\":\"20"));
  EXPECT_THAT(summary.payload,
              EndsWith("Z\",\"type\":\"summary\",\"uptime_s\":20,\"signals\":{"
                       "\"engine/rpm\":{\"value\":3500.5,\"age_s\":0.4},\"oil/temp\":{\"value\":null,\"age_s\":9},"
                       "\"vehicle/gear\":{\"value\":126,\"text\":\"D\",\"age_s\":0},"
                       "\"app/note\":{\"value\":\"say \\\"ok\\\" \\\\\",\"age_s\":0}},\"omitted\":0}"));
}

TEST_F(SummaryTest, OfNothingIsStillASummary) {
  EXPECT_THAT(reporter_.Make({}, clock_).payload, EndsWith("\"signals\":{},\"omitted\":0}"));
}

TEST_F(SummaryTest, OfTwoSignalsWithOneNameTheFirstCounts) {
  const auto signals = {Signal("a/b", 1, absl::ZeroDuration()), Signal("a/b", 2, absl::ZeroDuration())};
  EXPECT_THAT(reporter_.Make(signals, clock_).payload, HasSubstr("{\"a/b\":{\"value\":1,\"age_s\":0}},\"omitted\":0"));
}

TEST_F(SummaryTest, WhatDoesNotFitIsLeftOutAndCounted) {
  std::vector<CurrentSignal> signals;
  for (int i = 0; i < 4000; ++i) signals.push_back(Signal(absl::StrCat("group/signal_", i), i, absl::ZeroDuration()));
  const Publication summary = reporter_.Make(signals, clock_);
  EXPECT_LE(summary.payload.size(), SummaryReporter::kMaxBytes);
  EXPECT_GT(summary.payload.size(), SummaryReporter::kMaxBytes - 200);
  EXPECT_GT(reporter_.omitted(), 1000u);
  EXPECT_THAT(summary.payload, EndsWith(absl::StrCat("},\"omitted\":", reporter_.omitted(), "}")));
}

TEST(LocalSignals, FieldsAreTextsAndNumbersAreSamplesToo) {
  LocalSignals signals(Device());
  SignalEffects effects;
  signals.Publish(RequestOf(R"({"a":{"b":2},"note":"x","c":null,"timestamp":1760000000})"), MonoTime(), effects);
  ASSERT_THAT(effects.publish, SizeIs(3));
  EXPECT_EQ(effects.publish[0].topic, "rpi/pi-1/a/b");
  EXPECT_EQ(effects.publish[0].payload, "2");
  EXPECT_EQ(effects.publish[1].topic, "rpi/pi-1/app/note");
  EXPECT_EQ(effects.publish[2].payload, "invalid");
  ASSERT_THAT(effects.samples, SizeIs(2));
  EXPECT_EQ(effects.samples[0].at_unix_ms, 1'760'000'000'000);
  EXPECT_TRUE(std::isnan(effects.samples[1].value));
}

TEST(LocalSignals, TheNewestAreRemembered) {
  LocalSignals signals(Device());
  SignalEffects effects;
  signals.Publish(RequestOf(R"({"kept":1})"), MonoTime(), effects);
  for (size_t i = 0; i < LocalSignals::kMaxRemembered; ++i) {
    signals.Publish(RequestOf(absl::StrCat(R"({"kept":)", i, R"(,"x)", i, R"(":1})")), MonoTime(), effects);
  }
  std::vector<CurrentSignal> current;
  signals.AppendCurrent(current);
  ASSERT_THAT(current, SizeIs(LocalSignals::kMaxRemembered));
  EXPECT_EQ(current[0].name, "app/x255");
  EXPECT_EQ(current[1].name, "app/kept");
  EXPECT_EQ(current[1].value, 255);
  EXPECT_EQ(current.back().name, "app/x1");
  EXPECT_EQ(signals.forgotten(), 1u);
}

class AgentSummaryTest : public testing::Test {
 protected:
  AgentSummaryTest() {
    AgentOptions options{.device = Device(), .epoch = 1, .summary_period = absl::Minutes(5)};
    agent_.emplace(std::move(options), clock_);
  }
  void Handle(const Input& input) { agent_->Handle(input, clock_, effects_); }
  // Topics without what comes by itself.
  std::vector<std::string> Topics() const {
    std::vector<std::string> topics;
    for (const Publication& p : effects_.publish) {
      if (p.topic.find("/a/") != std::string::npos || p.topic.find("summary") != std::string::npos) {
        topics.push_back(p.topic);
      }
    }
    return topics;
  }

  FakeClock clock_;
  std::optional<Agent> agent_;
  Effects effects_;
};

TEST_F(AgentSummaryTest, ComesEveryPeriodWhileConnected) {
  Handle(LinkUp{});
  Handle(RequestOf(R"({"a/b":1})"));
  effects_.Clear();
  clock_.Advance(absl::Minutes(5));
  EXPECT_LE(agent_->NextDue(), clock_.Read().mono);
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Topics(), ElementsAre("rpi/pi-1/gateway/summary"));
  effects_.Clear();
  agent_->Tick(clock_, effects_);
  EXPECT_THAT(Topics(), ElementsAre());
}

TEST_F(AgentSummaryTest, WhoAsksGetsAllValuesAndASummary) {
  Handle(LinkUp{});
  Handle(RequestOf(R"({"a/b":1,"a/c":"x"})"));
  EXPECT_EQ(agent_->published_fields(), 2u);
  effects_.Clear();
  Handle(ValuesAsked{});
  EXPECT_THAT(Topics(), ElementsAre("rpi/pi-1/a/c", "rpi/pi-1/a/b", "rpi/pi-1/gateway/summary"));
  EXPECT_EQ(agent_->published_fields(), 4u);
}

TEST_F(AgentSummaryTest, WithoutALinkSamplesAreKeptAndTextsAreNot) {
  Handle(RequestOf(R"({"a/b":1,"a/c":"x"})"));
  Handle(ValuesAsked{});
  EXPECT_THAT(Topics(), ElementsAre());
  EXPECT_EQ(agent_->published_fields(), 2u);
  EXPECT_EQ(agent_->outbox().counters().made[v1::STREAM_TELEMETRY], 1u);
}

}  // namespace
}  // namespace fleet::device
