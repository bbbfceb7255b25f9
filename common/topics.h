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

// The name of a signal is also where its plain text is published, below rpi/<id>/: two or more parts of
// A-Z a-z 0-9 . _ - with / between them.
inline constexpr size_t kMaxSignalBytes = 64;
bool IsSignalName(absl::string_view text);
// Of a signal that would be taken for one of the agent's own messages: of the groups command, modbus, can, gateway,
// security and diagnostics.
bool IsReservedSignal(absl::string_view name);
std::string SignalTopic(const DeviceId& device, absl::string_view signal);

// The name of a CAN bus: 1 to 32 of A-Z a-z 0-9 . _ -
inline constexpr size_t kMaxBusBytes = 32;
bool IsBusName(absl::string_view text);
std::string CanRxTopic(const DeviceId& device, absl::string_view bus);
std::string CanTxTopic(const DeviceId& device, absl::string_view bus);  // "+": the filter for all buses

// Modbus (docs/modbus.md): plain JSON, and signed commands.
std::string ModbusRequestTopic(const DeviceId& device);
std::string ModbusResponseTopic(const DeviceId& device);
std::string ModbusCommandTopic(const DeviceId& device);
std::string GatewayStateTopic(const DeviceId& device);
// The device of such a topic, valid, part of the text that was parsed.
std::optional<absl::string_view> ParseGatewayStateTopic(absl::string_view text);

struct ParsedCanTopic {
  absl::string_view device;  // parts of the text that was parsed, valid
  absl::string_view bus;
};
// Of rpi/<id>/can/<bus>/rx.
std::optional<ParsedCanTopic> ParseCanRxTopic(absl::string_view text);

struct ParsedDeviceTopic {
  absl::string_view device;  // a valid device id, part of the text that was parsed
  DeviceTopic topic;
};

// nullopt: not a topic of a device, or a device id that breaks the rule.
std::optional<ParsedDeviceTopic> ParseDeviceTopic(absl::string_view text);

}  // namespace fleet
