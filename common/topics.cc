#include "common/topics.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

constexpr absl::string_view kDevicePrefix = "rpi/";

struct TopicName {
  DeviceTopic topic;
  absl::string_view name;
};
constexpr std::array<TopicName, kDeviceTopics> kTopicNames = {{
    {DeviceTopic::kHeartbeat, "heartbeat"},
    {DeviceTopic::kState, "state"},
    {DeviceTopic::kStatus, "status"},
    {DeviceTopic::kCommandAck, "command/ack"},
    {DeviceTopic::kEvent, "event"},
    {DeviceTopic::kTelemetry, "telemetry"},
    {DeviceTopic::kLedger, "ledger"},
}};

}  // namespace

std::string TopicOf(const DeviceId& device, DeviceTopic topic) {
  return absl::StrCat(kDevicePrefix, device.view(), "/", kTopicNames[static_cast<size_t>(topic)].name);
}

std::string SegmentTopic(const DeviceId& device) {
  return absl::StrCat("server/", device.view(), "/segment");
}

std::string CancelTopic(const DeviceId& device) {
  return absl::StrCat("server/", device.view(), "/cancel");
}

std::string ReceiptTopic(const DeviceId& device) {
  return absl::StrCat("server/", device.view(), "/receipt");
}

std::optional<ParsedDeviceTopic> ParseDeviceTopic(absl::string_view text) {
  if (!absl::StartsWith(text, kDevicePrefix)) return std::nullopt;
  text.remove_prefix(kDevicePrefix.size());
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return std::nullopt;
  const absl::string_view device = text.substr(0, slash);
  const absl::string_view name = text.substr(slash + 1);
  for (const TopicName& known : kTopicNames) {
    if (known.name == name && DeviceId::IsValid(device)) return ParsedDeviceTopic{device, known.topic};
  }
  return std::nullopt;
}

}  // namespace fleet
