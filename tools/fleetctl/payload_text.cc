#include "tools/fleetctl/payload_text.h"

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/topics.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet {
namespace {

constexpr size_t kBytesPerLine = 16;

std::unique_ptr<google::protobuf::Message> MessageOf(DeviceTopic topic) {
  switch (topic) {
    case DeviceTopic::kHeartbeat:
      return std::make_unique<v1::Heartbeat>();
    case DeviceTopic::kState:
      return std::make_unique<v1::StateReport>();
    case DeviceTopic::kStatus:
      return std::make_unique<v1::Status>();
    case DeviceTopic::kCommandAck:
      return std::make_unique<v1::CommandReport>();
    case DeviceTopic::kEvent:
      return std::make_unique<v1::EventBatch>();
    case DeviceTopic::kTelemetry:
      return std::make_unique<v1::TelemetryBatch>();
    case DeviceTopic::kLedger:
      return std::make_unique<v1::LedgerReport>();
  }
  return nullptr;
}

// Null: what such a topic carries is not known.
std::unique_ptr<google::protobuf::Message> MessageOf(absl::string_view topic) {
  if (ParseCanRxTopic(topic)) return std::make_unique<v1::CanBatch>();
  const std::optional<ParsedDeviceTopic> parsed = ParseDeviceTopic(topic);
  return parsed ? MessageOf(parsed->topic) : nullptr;
}

std::string DumpLine(size_t offset, absl::string_view bytes) {
  std::string hex, text;
  for (const char c : bytes) {
    absl::StrAppend(&hex, absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2), " ");
    text += absl::ascii_isprint(static_cast<unsigned char>(c)) ? c : '.';
  }
  return absl::StrFormat("    %04x  %-48s |%s|\n", offset, hex, text);
}

}  // namespace

std::optional<std::string> DecodePayload(absl::string_view topic, absl::string_view payload) {
  const std::unique_ptr<google::protobuf::Message> message = MessageOf(topic);
  if (message == nullptr || payload.empty()) return std::nullopt;
  if (!message->ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return std::nullopt;
  return absl::StrCat(message->GetDescriptor()->name(), " {", message->ShortDebugString(), "}");
}

std::string HexDump(absl::string_view bytes, size_t max_bytes) {
  std::string out;
  const absl::string_view shown = bytes.substr(0, max_bytes);
  for (size_t offset = 0; offset < shown.size(); offset += kBytesPerLine) {
    out += DumpLine(offset, shown.substr(offset, kBytesPerLine));
  }
  if (shown.size() < bytes.size()) absl::StrAppend(&out, "    ... ", bytes.size() - shown.size(), " more; see --raw\n");
  return out;
}

}  // namespace fleet
