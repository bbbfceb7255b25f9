#include "server/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/testing/fake_clock.h"
#include "common/testing/temp_dir.h"
#include "server/testing/stream_messages.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

struct Family {
  std::string help;
  std::string type;
  std::map<std::string, double> samples;  // by labels, with their braces
};

// Prometheus' text format, strictly: HELP and TYPE before the samples of each name.
std::map<std::string, Family> Parse(const std::string& page) {
  std::map<std::string, Family> families;
  for (absl::string_view line : absl::StrSplit(page, '\n', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&line, "# HELP ")) {
      const std::pair<std::string, std::string> help = absl::StrSplit(line, absl::MaxSplits(' ', 1));
      EXPECT_TRUE(families.emplace(help.first, Family{.help = help.second}).second) << "twice: " << help.first;
    } else if (absl::ConsumePrefix(&line, "# TYPE ")) {
      const std::pair<std::string, std::string> type = absl::StrSplit(line, ' ');
      families[type.first].type = type.second;
    } else {
      const size_t space = line.rfind(' ');
      const absl::string_view name = line.substr(0, std::min(line.find('{'), space));
      Family& family = families[std::string(name)];
      EXPECT_NE(family.type, "") << "no TYPE before: " << line;
      double value = std::nan("");
      EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
      EXPECT_TRUE(family.samples.emplace(line.substr(name.size(), space - name.size()), value).second) << line;
    }
  }
  return families;
}

class MetricsPageTest : public testing::Test {
 protected:
  std::map<std::string, Family> Page(const StoreWriter::Health& store = {}) {
    return Parse(MetricsText({.state = fleet_.state,
                              .ingest = ingest_,
                              .quarantine = quarantine_,
                              .store = store,
                              .inbound_dropped = 4,
                              .inbound_dropped_of_taps = 12,
                              .publish_refused = 5,
                              .watchers = 6,
                              .taps = {.delivered = 7, .skipped = 8, .lost = 9, .stray = 10},
                              .open_taps = 11}));
  }

  FakeClock clock_;
  TestFleet fleet_{clock_};
  Ingest ingest_;
  Quarantine quarantine_;
};

TEST_F(MetricsPageTest, EveryMetricHasHelpATypeAndSamples) {
  const auto page = Page();
  EXPECT_GE(page.size(), 20u);
  for (const auto& [name, family] : page) {
    EXPECT_NE(family.help, "") << name;
    EXPECT_FALSE(family.samples.empty()) << name;
    const bool total = name.size() > 6 && name.substr(name.size() - 6) == "_total";
    EXPECT_EQ(family.type, total ? "counter" : "gauge") << name;
  }
}

TEST_F(MetricsPageTest, EveryMetricIsDocumentedAndNoOther) {
  const std::string document = ReadFile(FLEET_SOURCE_DIR "/docs/metrics.md");
  std::set<std::string> documented;
  for (absl::string_view line : absl::StrSplit(document, '\n')) {
    if (!absl::ConsumePrefix(&line, "| `") || absl::StartsWith(line, "fleet_device_")) continue;  // of the device
    EXPECT_TRUE(documented.insert(std::string(line.substr(0, line.find_first_of("{`")))).second) << "twice: " << line;
    const std::vector<absl::string_view> cells = absl::StrSplit(line, " | ");
    EXPECT_EQ(cells.size(), 3u) << "what it means and when it moves: " << line;
  }
  std::set<std::string> printed;
  for (const auto& [name, family] : Page()) printed.insert(name);
  EXPECT_EQ(documented, printed);
}

TEST_F(MetricsPageTest, ShowsWhatHappened) {
  fleet_.Beat("a", 1);
  fleet_.Beat("a", 4);
  fleet_.Beat("a", 4);
  fleet_.Report("b", 1, {1});
  ASSERT_FALSE(ingest_.Read("rpi/a/heartbeat", "\xff").ok());
  fleet_.state.Apply(GatewayStateEvent{"a"}, clock_, fleet_.changes);
  v1::Segment hold;
  hold.set_type(v1::SEGMENT_TYPE_HOLD);
  ASSERT_TRUE(fleet_.state.Submit("a", hold, {.ttl = absl::Seconds(1)}, clock_, fleet_.changes).ok());
  auto page = Page();
  EXPECT_EQ(page["fleet_devices"].samples["{state=\"online\"}"], 1);
  EXPECT_EQ(page["fleet_devices"].samples["{state=\"unknown\"}"], 1);
  EXPECT_EQ(page["fleet_heartbeats_total"].samples[""], 3);
  EXPECT_EQ(page["fleet_gateway_states_total"].samples[""], 1);
  EXPECT_EQ(page["fleet_messages_expected_total"].samples[""], 5);
  EXPECT_EQ(page["fleet_messages_stored_total"].samples[""], 3);
  EXPECT_EQ(page["fleet_messages_duplicate_total"].samples[""], 1);
  EXPECT_EQ(page["fleet_ingest_rejected_total"].samples["{reason=\"parse\"}"], 1);
  EXPECT_EQ(page["fleet_ingest_rejected_total"].samples["{reason=\"topic\"}"], 0);
  EXPECT_EQ(page["fleet_ingest_dropped_total"].samples[""], 4);
  EXPECT_EQ(page["fleet_publish_refused_total"].samples[""], 5);
  EXPECT_EQ(page["fleet_stream_readers"].samples[""], 6);
  EXPECT_EQ(page["fleet_tap_frames_delivered_total"].samples[""], 7);
  EXPECT_EQ(page["fleet_tap_frames_skipped_total"].samples[""], 8);
  EXPECT_EQ(page["fleet_tap_batches_lost_total"].samples[""], 9);
  EXPECT_EQ(page["fleet_tap_batches_stray_total"].samples[""], 10);
  EXPECT_EQ(page["fleet_taps_open"].samples[""], 11);
  EXPECT_EQ(page["fleet_tap_batches_dropped_total"].samples[""], 12);
  EXPECT_EQ(page["fleet_commands_open"].samples[""], 1);
  EXPECT_EQ(page["fleet_commands_ended_total"].samples["{state=\"done\"}"], 0);
  EXPECT_EQ(page["fleet_broker_connected"].samples[""], 1);
  EXPECT_EQ(page["fleet_store_works"].samples[""], 1);
}

TEST_F(MetricsPageTest, ShowsTheStreamsOfAllDevices) {
  for (const char* device : {"a", "b"}) {
    const v1::EventBatch events = EventsOf(1, 1, 3);
    const v1::LedgerReport report =
        ReportOf(1, 1, {AccountOf(v1::STREAM_EVENT, 1, 10, 2, {DropOf(v1::DROP_REASON_TOO_OLD, 4, 5)})});
    fleet_.Apply(EventBatchEvent{device, &events});
    fleet_.Apply(EventBatchEvent{device, &events});
    fleet_.Apply(LedgerEvent{device, &report});
  }
  fleet_.state.SetStoreWorks(false);
  const v1::TelemetryBatch samples = SamplesOf(1, 1, 3);
  fleet_.Apply(TelemetryEvent{"a", &samples});
  quarantine_.Take("x", "y", absl::NotFoundError(""), clock_.Read(), fleet_.changes.rows);
  auto page = Page();
  EXPECT_EQ(page["fleet_stream_sent_total"].samples["{stream=\"event\"}"], 20);
  EXPECT_EQ(page["fleet_stream_stored_total"].samples["{stream=\"event\"}"], 6);
  EXPECT_EQ(page["fleet_stream_duplicate_total"].samples["{stream=\"event\"}"], 6);
  EXPECT_EQ(page["fleet_stream_dropped_total"].samples["{reason=\"too_old\",stream=\"event\"}"], 4);
  EXPECT_EQ(page["fleet_stream_dropped_total"].samples["{reason=\"crash\",stream=\"telemetry\"}"], 0);
  EXPECT_EQ(page["fleet_stream_in_flight"].samples["{stream=\"event\"}"], 10);
  EXPECT_EQ(page["fleet_stream_refused_total"].samples[""], 1);
  EXPECT_EQ(page["fleet_ledger_unbalanced"].samples[""], 2);
  EXPECT_EQ(page["fleet_quarantine_kept_total"].samples[""], 1);
}

TEST_F(MetricsPageTest, ShowsAStoreThatFails) {
  auto page = Page({.error = "disk full",
                    .committed_rows = 10,
                    .dropped_rows = 2,
                    .failed_writes = 3,
                    .waiting_bytes = 24'000'000,
                    .counters = {.nameless_samples = 4, .dtcs_refused = 5}});
  EXPECT_EQ(page["fleet_store_works"].samples[""], 0);
  EXPECT_EQ(page["fleet_store_rows_total"].samples[""], 10);
  EXPECT_EQ(page["fleet_store_dropped_rows_total"].samples[""], 2);
  EXPECT_EQ(page["fleet_store_failed_writes_total"].samples[""], 3);
  EXPECT_EQ(page["fleet_store_waiting_bytes"].samples[""], 24'000'000);
  EXPECT_EQ(page["fleet_store_nameless_samples_total"].samples[""], 4);
  EXPECT_EQ(page["fleet_store_dtcs_refused_total"].samples[""], 5);
}

}  // namespace
}  // namespace fleet::server
