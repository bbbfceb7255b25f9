#include "device/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/testing/fake_clock.h"
#include "common/testing/temp_dir.h"

namespace fleet::device {
namespace {

using Samples = std::map<std::string, double>;  // by name with labels

constexpr absl::string_view kPrefix = "fleet_device_";

// Those of a page in Prometheus' text format; tests of the server check the format itself.
Samples Parse(const std::string& page) {
  Samples samples;
  for (const absl::string_view line : absl::StrSplit(page, '\n', absl::SkipEmpty())) {
    if (absl::StartsWith(line, "#")) continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    EXPECT_TRUE(samples.emplace(std::string(line.substr(0, space)), value).second) << "twice: " << line;
  }
  return samples;
}

class MetricsPageTest : public testing::Test {
 protected:
  MetricsPageTest() {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value(), .epoch = 1, .spool = SpoolContents()};
    for (const char* name : {"car", "trailer"}) {
      BusPlan& bus = options.can.buses.emplace_back();
      bus.name = name;
      bus.obd.emplace();
      bus.j1939 = true;
      bus.canopen = {{.node = 5, .silent_after = absl::Seconds(1), .signals = {}}};
    }
    options.modbus.emplace();
    options.modbus->buses = {{.name = "rs485"}};
    options.modbus->units = {{.id = "meter"}};
    agent_.emplace(std::move(options), clock_);
  }
  void Handle(const Input& input) { agent_->Handle(input, clock_, effects_); }
  Samples Page() const {
    return Parse(MetricsText({.agent = *agent_,
                              .uptime = absl::Seconds(7),
                              .inbox_waiting = 2,
                              .inbox_dropped = 3,
                              .spool_works = true,
                              .api = {.publish_taken = 4, .publish_refused = 5, .unauthorized = 6}}));
  }

  FakeClock clock_;
  std::optional<Agent> agent_;
  Effects effects_;
};

TEST_F(MetricsPageTest, EveryMetricIsDocumentedAndNoOther) {
  std::set<std::string> documented;
  for (absl::string_view line : absl::StrSplit(ReadFile(FLEET_SOURCE_DIR "/docs/metrics.md"), '\n')) {
    if (!absl::ConsumePrefix(&line, "| `") || !absl::StartsWith(line, kPrefix)) continue;
    EXPECT_TRUE(documented.insert(std::string(line.substr(0, line.find_first_of("{`")))).second) << "twice: " << line;
  }
  std::set<std::string> printed;
  for (const auto& [name, value] : Page()) printed.insert(name.substr(0, name.find('{')));
  EXPECT_EQ(documented, printed);
}

TEST_F(MetricsPageTest, NoDeviceIdIsALabel) {
  for (const auto& [name, value] : Page()) {
    EXPECT_TRUE(absl::StartsWith(name, kPrefix)) << name;
    EXPECT_FALSE(absl::StrContains(name, "pi-1")) << name;
  }
}

TEST_F(MetricsPageTest, ShowsWhatHappened) {
  Handle(LinkUp{});
  Handle(Arrived{.topic = "server/pi-1/segment", .payload = "\xff"});
  Handle(Arrived{.topic = "nonsense"});
  Handle(PublishRequest{.fields = {{.signal = "a/b", .text = "1", .value = 1}}});
  Handle(ValuesAsked{});
  Handle(LinkDown{});
  Samples page = Page();
  EXPECT_EQ(page["fleet_device_uptime_seconds"], 7);
  EXPECT_EQ(page["fleet_device_broker_connected"], 0);
  EXPECT_EQ(page["fleet_device_broker_losses_total"], 1);
  EXPECT_EQ(page["fleet_device_reports_total{topic=\"status\"}"], 1);
  EXPECT_EQ(page["fleet_device_inbox_waiting"], 2);
  EXPECT_EQ(page["fleet_device_inbox_dropped_total"], 3);
  EXPECT_EQ(page["fleet_device_input_refused_total{kind=\"topic\"}"], 1);
  EXPECT_EQ(page["fleet_device_commands_refused_total{reason=\"malformed\"}"], 1);
  EXPECT_EQ(page["fleet_device_stream_made_total{stream=\"telemetry\"}"], 1);
  EXPECT_EQ(page["fleet_device_stream_made_total{stream=\"event\"}"], 1);
  EXPECT_EQ(page["fleet_device_spool_works"], 1);
  EXPECT_EQ(page["fleet_device_publish_requests_total{result=\"taken\"}"], 4);
  EXPECT_EQ(page["fleet_device_publish_requests_total{result=\"refused\"}"], 5);
  EXPECT_EQ(page["fleet_device_publish_fields_total"], 1);
  EXPECT_EQ(page["fleet_device_summaries_total"], 1);
  EXPECT_EQ(page["fleet_device_http_unauthorized_total"], 6);
}

TEST_F(MetricsPageTest, ShowsEachBus) {
  CanNews news;
  news.frames.resize(3);
  news.dropped = 2;
  news.report = {.up = true, .error_frames = 5, .bus_off = 6, .lost = 1, .malformed = 7};
  Handle(CanHeard{.bus = 1, .news = &news});
  Samples page = Page();
  EXPECT_EQ(page["fleet_device_can_up{bus=\"trailer\"}"], 1);
  EXPECT_EQ(page["fleet_device_can_up{bus=\"car\"}"], 0);
  EXPECT_EQ(page["fleet_device_can_frames_total{bus=\"trailer\"}"], 3);
  EXPECT_EQ(page["fleet_device_can_lost_total{bus=\"trailer\"}"], 3);
  EXPECT_EQ(page["fleet_device_can_error_frames_total{bus=\"trailer\"}"], 5);
  EXPECT_EQ(page["fleet_device_can_bus_off_total{bus=\"trailer\"}"], 6);
  EXPECT_EQ(page["fleet_device_can_malformed_total{bus=\"trailer\"}"], 7);
  EXPECT_EQ(page["fleet_device_can_frames_total{bus=\"car\"}"], 0);
  EXPECT_EQ(page["fleet_device_modbus_transactions_total{bus=\"rs485\"}"], 0);
  EXPECT_EQ(page["fleet_device_modbus_unit_set_aside{unit=\"meter\"}"], 0);
}

}  // namespace
}  // namespace fleet::device
