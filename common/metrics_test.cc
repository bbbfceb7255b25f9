#include "common/metrics.h"

#include <gtest/gtest.h>

namespace fleet {
namespace {

TEST(MetricsPage, IsPrometheusText) {
  MetricsPage page;
  page.Counter("fleet_things_total", "Things that came.", 3);
  page.Gauge("fleet_level", "How full.", 0.5);
  EXPECT_EQ(page.Text(),
            "# HELP fleet_things_total Things that came.\n"
            "# TYPE fleet_things_total counter\n"
            "fleet_things_total 3\n"
            "# HELP fleet_level How full.\n"
            "# TYPE fleet_level gauge\n"
            "fleet_level 0.5\n");
}

TEST(MetricsPage, SamplesOfOneNameStandUnderOneHead) {
  MetricsPage page;
  page.Counter("fleet_ends_total", "Ends.", 1, {{"state", "done"}});
  page.Counter("fleet_ends_total", "Ends.", 2, {{"state", "failed"}});
  EXPECT_EQ(page.Text(),
            "# HELP fleet_ends_total Ends.\n"
            "# TYPE fleet_ends_total counter\n"
            "fleet_ends_total{state=\"done\"} 1\n"
            "fleet_ends_total{state=\"failed\"} 2\n");
}

TEST(MetricsPage, LargeCountsAreNotRounded) {
  MetricsPage page;
  page.Counter("fleet_bytes_total", "Bytes.", 9'007'199'254'740'991);
  EXPECT_NE(page.Text().find("fleet_bytes_total 9007199254740991\n"), std::string::npos) << page.Text();
}

TEST(MetricsPage, AnEmptyPageIsEmpty) {
  EXPECT_EQ(MetricsPage().Text(), "");
}

}  // namespace
}  // namespace fleet
