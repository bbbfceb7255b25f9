#include "common/topics.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace fleet {
namespace {

constexpr absl::string_view kDevicePrefix = "rpi/";
constexpr absl::string_view kGatewayStateSuffix = "/gateway_state";

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

// What comes before the first slash; `text` keeps what comes after it.
absl::string_view TakePart(absl::string_view& text) {
  const size_t slash = text.find('/');
  const absl::string_view part = text.substr(0, slash);
  text.remove_prefix(slash == absl::string_view::npos ? text.size() : slash + 1);
  return part;
}

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

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

bool IsSignalName(absl::string_view text) {
  if (text.size() > kMaxSignalBytes) return false;
  size_t parts = 1;
  char before = '/';
  for (const char c : text) {
    if (c != '/' && !IsNameCharacter(c)) return false;
    if (c == '/' && before == '/') return false;  // an empty part
    parts += c == '/' ? 1 : 0;
    before = c;
  }
  return parts >= 2 && before != '/';
}

bool IsReservedSignal(absl::string_view name) {
  const absl::string_view group = TakePart(name);
  for (absl::string_view ours : {"command", "modbus", "can", "gateway", "security", "diagnostics"}) {
    if (group == ours) return true;
  }
  return false;
}

std::string SignalTopic(const DeviceId& device, absl::string_view signal) {
  return absl::StrCat(kDevicePrefix, device.view(), "/", signal);
}

bool IsBusName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxBusBytes && std::all_of(text.begin(), text.end(), IsNameCharacter);
}

std::string CanRxTopic(const DeviceId& device, absl::string_view bus) {
  return absl::StrCat(kDevicePrefix, device.view(), "/can/", bus, "/rx");
}

std::string CanTxTopic(const DeviceId& device, absl::string_view bus) {
  return absl::StrCat("server/", device.view(), "/can/", bus, "/tx");
}

std::string ModbusRequestTopic(const DeviceId& device) {
  return absl::StrCat("server/", device.view(), "/modbus/request");
}

std::string ModbusResponseTopic(const DeviceId& device) {
  return absl::StrCat(kDevicePrefix, device.view(), "/modbus/response");
}

std::string ModbusCommandTopic(const DeviceId& device) {
  return absl::StrCat("server/", device.view(), "/modbus/command");
}

std::string GatewayStateTopic(const DeviceId& device) {
  return absl::StrCat(kDevicePrefix, device.view(), kGatewayStateSuffix);
}

std::optional<absl::string_view> ParseGatewayStateTopic(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kDevicePrefix) || !absl::ConsumeSuffix(&text, kGatewayStateSuffix)) {
    return std::nullopt;
  }
  if (!DeviceId::IsValid(text)) return std::nullopt;
  return text;
}

std::optional<ParsedCanTopic> ParseCanRxTopic(absl::string_view text) {
  if (!absl::StartsWith(text, kDevicePrefix)) return std::nullopt;
  text.remove_prefix(kDevicePrefix.size());
  const absl::string_view device = TakePart(text);
  if (TakePart(text) != "can") return std::nullopt;
  const absl::string_view bus = TakePart(text);
  if (text != "rx" || !DeviceId::IsValid(device) || !IsBusName(bus)) return std::nullopt;
  return ParsedCanTopic{device, bus};
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
