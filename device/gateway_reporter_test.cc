#include "device/gateway_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const MonoTime kStart = MonoTime::FromNanos(1'000'000'000);

std::vector<std::string> Lines(const Effects& effects) {
  std::vector<std::string> lines;
  for (const Publication& p : effects.publish) lines.push_back(absl::StrCat(p.topic, "=", p.payload, " qos", p.qos));
  return lines;
}

class GatewayReporterTest : public ::testing::Test {
 protected:
  std::vector<std::string> Tick(absl::Duration after, uint64_t messages, const SecurityCounts& counts = {}) {
    Effects effects;
    reporter_.Tick(kStart + after, messages, counts, effects);
    return Lines(effects);
  }
  GatewayReporter reporter_{*DeviceId::Parse("pi-1"), {kStart + absl::Seconds(10), absl::Seconds(10)}, kStart};
};

TEST_F(GatewayReporterTest, SaysOnlineAndWhatWasRefusedAfterEachConnect) {
  Effects effects;
  reporter_.LinkUp({.auth_failures = 1, .timestamp_drift = 2, .policy_violations = 3}, effects);
  EXPECT_THAT(Lines(effects),
              ElementsAre("rpi/pi-1/gateway/connection_state=online qos1", "rpi/pi-1/security/auth_failures=1 qos1",
                          "rpi/pi-1/security/timestamp_drift=2 qos1", "rpi/pi-1/security/policy_violations=3 qos1"));
}

TEST_F(GatewayReporterTest, UptimeAndRateComeEveryPeriod) {
  EXPECT_THAT(Tick(absl::Seconds(9), 100), IsEmpty());
  EXPECT_THAT(Tick(absl::Seconds(10), 123),
              ElementsAre("rpi/pi-1/gateway/uptime=10 qos0", "rpi/pi-1/gateway/message_rate=12.3 qos0"));
  EXPECT_THAT(Tick(absl::Seconds(20), 123),
              ElementsAre("rpi/pi-1/gateway/uptime=20 qos0", "rpi/pi-1/gateway/message_rate=0 qos0"));
}

TEST_F(GatewayReporterTest, RefusalsComeWhenTheyHaveChanged) {
  const SecurityCounts counts{.policy_violations = 1};
  EXPECT_THAT(Tick(absl::Seconds(10), 0, counts), Contains("rpi/pi-1/security/policy_violations=1 qos1"));
  EXPECT_THAT(Tick(absl::Seconds(20), 0, counts), ::testing::SizeIs(2));
}

TEST_F(GatewayReporterTest, OffSaysNothing) {
  GatewayReporter off(*DeviceId::Parse("pi-1"), {kStart, absl::ZeroDuration()}, kStart);
  Effects effects;
  off.LinkUp({}, effects);
  off.Tick(kStart + absl::Hours(1), 5, {.auth_failures = 1}, effects);
  off.Goodbye(effects);
  EXPECT_THAT(effects.publish, IsEmpty());
  EXPECT_EQ(off.NextDue(), MonoTime::Max());
}

}  // namespace
}  // namespace fleet::device
