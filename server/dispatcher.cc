#include "server/dispatcher.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::server {
namespace {

// Each puts its body into `command` and returns the topic that this kind of command goes to.
std::string Fill(const DeviceId& device, const v1::Segment& segment, v1::Command& command) {
  *command.mutable_segment() = segment;
  return SegmentTopic(device);
}
std::string Fill(const DeviceId& device, const v1::Cancel& cancel, v1::Command& command) {
  *command.mutable_cancel() = cancel;
  return CancelTopic(device);
}
std::string Fill(const DeviceId& device, const v1::CanSend& send, v1::Command& command) {
  *command.mutable_can_send() = send;
  return CanTxTopic(device, send.bus());
}
std::string Fill(const DeviceId& device, const v1::CanTap& tap, v1::Command& command) {
  *command.mutable_can_tap() = tap;
  return CanTxTopic(device, tap.bus());
}
std::string Fill(const DeviceId& device, const v1::ClearDtcs& clear, v1::Command& command) {
  *command.mutable_clear_dtcs() = clear;
  return CanTxTopic(device, clear.bus());
}
std::string Fill(const DeviceId& device, const v1::ModbusCall& call, v1::Command& command) {
  *command.mutable_modbus() = call;
  return ModbusCommandTopic(device);
}

}  // namespace

absl::StatusOr<Dispatcher> Dispatcher::Open(const std::string& key_dir) {
  Dispatcher dispatcher;
  if (key_dir.empty()) return dispatcher;
  std::error_code error;
  std::filesystem::directory_iterator files(key_dir, error);
  if (error) return absl::NotFoundError(absl::StrCat("commands.key_dir ", key_dir, ": ", error.message()));
  for (; files != std::filesystem::directory_iterator(); files.increment(error)) {
    const std::filesystem::path& file = files->path();
    if (file.extension() != ".key") continue;
    ASSIGN_OR_RETURN(CommandKey key, CommandKey::Load(file.string()));
    dispatcher.keys_.emplace(file.stem().string(), key);
  }
  if (error) return absl::NotFoundError(absl::StrCat("commands.key_dir ", key_dir, ": ", error.message()));
  return dispatcher;
}

Publication Dispatcher::Frame(const DeviceId& device, const CommandRow& row) const {
  v1::Command command;
  command.set_id(Number(row.id));
  command.set_issued_unix_ms(static_cast<uint64_t>(row.issued_unix_ms));
  command.set_ttl_ms(static_cast<uint32_t>(row.ttl_ms));
  std::string topic = std::visit([&](const auto& body) { return Fill(device, body, command); }, row.body);
  v1::CommandFrame frame;
  frame.set_command(command.SerializeAsString());
  const auto key = keys_.find(device.view());
  if (key != keys_.end()) frame.set_tag(key->second.Sign(frame.command()));
  return {.topic = std::move(topic), .payload = frame.SerializeAsString(), .qos = 1};
}

}  // namespace fleet::server
