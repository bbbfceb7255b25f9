#include "device/can_commands.h"

#include <algorithm>
#include <utility>

namespace fleet::device {
namespace {

void Say(CommandId command, v1::CommandState state, absl::string_view reason, CanCommands::Updates& updates) {
  v1::CommandUpdate& update = updates.emplace_back();
  update.set_command_id(Number(command));
  update.set_state(state);
  update.set_reason(std::string(reason));
}

}  // namespace

void CanCommands::Add(CanCommand command, bool is_saved, MonoTime now, Updates& updates, Effects& effects) {
  Say(command.command, v1::COMMAND_STATE_RECEIVED, "", updates);
  if (waiting_.size() >= kMaxWaiting) return Say(command.command, v1::COMMAND_STATE_REJECTED, "overloaded", updates);
  Say(command.command, v1::COMMAND_STATE_ACCEPTED, "", updates);
  if (is_saved) return Run(command, now, updates, effects);
  waiting_.push_back(std::move(command));
}

void CanCommands::Saved(CommandId command, bool ok, MonoTime now, Updates& updates, Effects& effects) {
  const auto found = std::ranges::find(waiting_, command, &CanCommand::command);
  if (found == waiting_.end()) return;
  const CanCommand saved = std::move(*found);
  waiting_.erase(found);
  if (!ok) return Say(command, v1::COMMAND_STATE_FAILED, "spool_failed", updates);
  Run(saved, now, updates, effects);
}

size_t CanCommands::StopBelow(CommandId command, absl::string_view reason, Updates& updates) {
  return std::erase_if(waiting_, [&](const CanCommand& waiting) {
    if (waiting.command >= command || std::holds_alternative<v1::CanTap>(waiting.body)) return false;
    Say(waiting.command, v1::COMMAND_STATE_CANCELLED, reason, updates);
    return true;
  });
}

bool CanCommands::Cancel(CommandId command, Updates& updates, Effects& effects) {
  if (std::erase_if(waiting_, [command](const CanCommand& c) { return c.command == command; }) > 0) {
    Say(command, v1::COMMAND_STATE_CANCELLED, "cancelled", updates);
    return true;
  }
  return hub_ != nullptr && hub_->Cancel(command, effects.can);
}

void CanCommands::Run(const CanCommand& command, MonoTime now, Updates& updates, Effects& effects) {
  if (now >= command.expires_at) return Say(command.command, v1::COMMAND_STATE_EXPIRED, "expired", updates);
  hub_->Run(command, now, effects.can);
}

}  // namespace fleet::device
