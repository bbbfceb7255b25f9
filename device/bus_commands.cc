#include "device/bus_commands.h"

#include <algorithm>
#include <utility>

#include "common/modbus/modbus_json.h"

namespace fleet::device {
namespace {

void Say(CommandId command, v1::CommandState state, absl::string_view reason, BusCommands::Updates& updates) {
  v1::CommandUpdate& update = updates.emplace_back();
  update.set_command_id(Number(command));
  update.set_state(state);
  update.set_reason(std::string(reason));
}

CommandId IdOf(const BusCommand& command) {
  return std::visit([](const auto& c) { return c.command; }, command);
}

MonoTime ExpiryOf(const BusCommand& command) {
  return std::visit([](const auto& c) { return c.expires_at; }, command);
}

// Taps and reads do nothing to what is on a bus.
bool OnlyLooks(const BusCommand& command) {
  if (const auto* can = std::get_if<CanCommand>(&command)) return std::holds_alternative<v1::CanTap>(can->body);
  return !AsksToWrite(std::get<ModbusCommand>(command).body.request());
}

}  // namespace

void BusCommands::Add(BusCommand command, bool is_saved, Now now, Updates& updates, Effects& effects) {
  const CommandId id = IdOf(command);
  Say(id, v1::COMMAND_STATE_RECEIVED, "", updates);
  if (waiting_.size() >= kMaxWaiting) return Say(id, v1::COMMAND_STATE_REJECTED, "overloaded", updates);
  Say(id, v1::COMMAND_STATE_ACCEPTED, "", updates);
  if (is_saved) return Run(command, now, updates, effects);
  waiting_.push_back(std::move(command));
}

void BusCommands::Saved(CommandId command, bool ok, Now now, Updates& updates, Effects& effects) {
  const auto found = std::ranges::find(waiting_, command, IdOf);
  if (found == waiting_.end()) return;
  const BusCommand saved = std::move(*found);
  waiting_.erase(found);
  if (!ok) return Say(command, v1::COMMAND_STATE_FAILED, "spool_failed", updates);
  Run(saved, now, updates, effects);
}

size_t BusCommands::StopBelow(CommandId command, absl::string_view reason, Updates& updates, Effects& effects) {
  const size_t held = std::erase_if(waiting_, [&](const BusCommand& waiting) {
    if (IdOf(waiting) >= command || OnlyLooks(waiting)) return false;
    Say(IdOf(waiting), v1::COMMAND_STATE_CANCELLED, reason, updates);
    return true;
  });
  return held + (modbus_ != nullptr ? modbus_->StopBelow(command, reason, effects.modbus) : 0);
}

bool BusCommands::Cancel(CommandId command, Updates& updates, Effects& effects) {
  if (std::erase_if(waiting_, [command](const BusCommand& c) { return IdOf(c) == command; }) > 0) {
    Say(command, v1::COMMAND_STATE_CANCELLED, "cancelled", updates);
    return true;
  }
  return (can_ != nullptr && can_->Cancel(command, effects.can)) ||
         (modbus_ != nullptr && modbus_->Cancel(command, effects.modbus));
}

void BusCommands::Run(const BusCommand& command, Now now, Updates& updates, Effects& effects) {
  if (now.mono >= ExpiryOf(command)) return Say(IdOf(command), v1::COMMAND_STATE_EXPIRED, "expired", updates);
  if (const auto* can = std::get_if<CanCommand>(&command)) return can_->Run(*can, now.mono, effects.can);
  modbus_->Run(std::get<ModbusCommand>(command), now, effects.modbus);
}

}  // namespace fleet::device
