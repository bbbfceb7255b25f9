// The names of the topics, in one place: docs/protocol.md section 3.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/ids.h"

namespace fleet {

inline constexpr char kServerBeatTopic[] = "server/beat";
inline constexpr char kServerProbeTopic[] = "server/probe";  // the server's message to itself: is my link alive?

// What a device says, by the part of the topic after rpi/<id>/.
enum class DeviceTopic { kHeartbeat, kState, kStatus, kCommandAck, kEvent, kTelemetry, kLedger };
inline constexpr size_t kDeviceTopics = static_cast<size_t>(DeviceTopic::kLedger) + 1;

std::string TopicOf(const DeviceId& device, DeviceTopic topic);
std::string SegmentTopic(const DeviceId& device);
std::string CancelTopic(const DeviceId& device);
std::string ReceiptTopic(const DeviceId& device);

struct ParsedDeviceTopic {
  absl::string_view device;  // a valid device id, part of the text that was parsed
  DeviceTopic topic;
};

// nullopt: not a topic of a device, or a device id that breaks the rule.
std::optional<ParsedDeviceTopic> ParseDeviceTopic(absl::string_view text);

}  // namespace fleet
