#include "device/gateway_reporter.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/topics.h"

namespace fleet::device {

GatewayReporter::GatewayReporter(const DeviceId& device, Schedule schedule, MonoTime start)
    : schedule_(schedule), start_(start), reported_(start) {
  constexpr std::array<absl::string_view, kTopics> kNames = {"gateway/connection_state", "gateway/uptime",
                                                             "gateway/message_rate",     "security/auth_failures",
                                                             "security/timestamp_drift", "security/policy_violations"};
  for (size_t i = 0; i < kTopics; ++i) topics_[i] = SignalTopic(device, kNames[i]);
}

void GatewayReporter::LinkUp(const SecurityCounts& counts, Effects& effects) {
  if (!is_on()) return;
  Say(kConnectionState, "online", 1, effects);
  SaySecurity(counts, effects);
}

void GatewayReporter::Goodbye(Effects& effects) const {
  if (is_on()) Say(kConnectionState, "offline", 1, effects);
}

void GatewayReporter::Report(MonoTime now, uint64_t messages, const SecurityCounts& counts, Effects& effects) {
  const double elapsed_s = absl::ToDoubleSeconds(now - reported_);
  Say(kUptime, absl::StrCat(absl::ToInt64Seconds(now - start_)), 0, effects);
  if (elapsed_s > 0) {
    const double rate = static_cast<double>(messages - messages_) / elapsed_s;
    Say(kMessageRate, absl::StrCat(std::round(rate * 10) / 10), 0, effects);
  }
  reported_ = now;
  messages_ = messages;
  if (counts != counts_) SaySecurity(counts, effects);
}

void GatewayReporter::SaySecurity(const SecurityCounts& counts, Effects& effects) {
  counts_ = counts;
  Say(kAuthFailures, absl::StrCat(counts.auth_failures), 1, effects);
  Say(kTimestampDrift, absl::StrCat(counts.timestamp_drift), 1, effects);
  Say(kPolicyViolations, absl::StrCat(counts.policy_violations), 1, effects);
}

void GatewayReporter::Say(Topic topic, std::string text, int qos, Effects& effects) const {
  effects.publish.push_back({.topic = topics_[topic], .payload = std::move(text), .qos = qos});
}

}  // namespace fleet::device
