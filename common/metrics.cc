#include "common/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace fleet {

MetricsPage::MetricsPage() = default;
MetricsPage::~MetricsPage() = default;

void MetricsPage::Counter(const std::string& name, const std::string& help, double value, const MetricLabels& labels) {
  Add(name, help, true, value, labels);
}

void MetricsPage::Gauge(const std::string& name, const std::string& help, double value, const MetricLabels& labels) {
  Add(name, help, false, value, labels);
}

void MetricsPage::Add(const std::string& name, const std::string& help, bool counter, double value,
                      const MetricLabels& labels) {
  if (families_.empty() || families_.back().name != name) {
    families_.push_back({name, help, counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge, {}});
  }
  prometheus::ClientMetric metric;
  for (const auto& [label, text] : labels) metric.label.push_back({label, text});
  (counter ? metric.counter.value : metric.gauge.value) = value;
  families_.back().metric.push_back(std::move(metric));
}

std::string MetricsPage::Text() const {
  return prometheus::TextSerializer().Serialize(families_);
}

}  // namespace fleet
