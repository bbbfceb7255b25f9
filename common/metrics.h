// One page of metrics in Prometheus' text format. The program's counters are plain numbers that the loop thread owns;
// a page is filled from them on that thread at each scrape, so counting costs nothing.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace prometheus {
struct MetricFamily;
}

namespace fleet {

using MetricLabels = std::map<std::string, std::string>;

class MetricsPage {
 public:
  MetricsPage();
  ~MetricsPage();

  // `help` as in docs/metrics.md. Calls with the same name must follow each other and differ in labels.
  void Counter(const std::string& name, const std::string& help, double value, const MetricLabels& labels = {});
  void Gauge(const std::string& name, const std::string& help, double value, const MetricLabels& labels = {});

  std::string Text() const;

 private:
  void Add(const std::string& name, const std::string& help, bool counter, double value, const MetricLabels& labels);
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace fleet
