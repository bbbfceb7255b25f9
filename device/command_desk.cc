#include "device/command_desk.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

std::vector<EntityId> IdsOf(const std::vector<DrivenEntity>& entities) {
  std::vector<EntityId> ids;
  for (const DrivenEntity& entity : entities) ids.push_back(entity.id);
  return ids;
}

CommandId IdOf(const PassedCommand& command) {
  return std::visit([](const auto& c) { return c.command; }, command);
}

void Say(CommandId command, v1::CommandState state, absl::string_view detail, CommandDesk::Updates& updates) {
  v1::CommandUpdate& update = updates.emplace_back();
  update.set_command_id(Number(command));
  update.set_state(state);
  update.set_detail(detail.data(), detail.size());
}

}  // namespace

CommandDesk::CommandDesk(Options options, const SpoolContents* contents, Updates& updates)
    : memory_(contents),
      gate_({.key = options.key, .entities = IdsOf(options.entities), .can = options.can, .modbus = options.modbus}),
      executor_(std::move(options.entities)),
      buses_(options.can, options.modbus),
      fail_safe_(std::move(options.fail_safe)),
      disk_missing_(options.disk_missing) {
  if (contents == nullptr) return;
  for (const RememberedCommand& command : contents->commands) {
    if (!IsEnd(command.state)) updates.push_back(UpdateOf(*memory_.Find(command.id)));
  }
}

bool CommandDesk::Hear(const v1::ServerBeat& beat, MonoTime now) {
  if (!server_time_.Hear(beat, now)) return false;
  memory_.HearTime(static_cast<int64_t>(beat.steady_unix_ms()));
  return true;
}

std::optional<v1::Event> CommandDesk::Judge(absl::string_view payload, Now now, Updates& updates, Effects& effects) {
  std::optional<PassedCommand> passed = gate_.Judge(payload, server_time_, now.mono, memory_, updates);
  if (!passed) return std::nullopt;
  if (const auto* cancel = std::get_if<CancelOrder>(&*passed)) return Obey(*cancel, now.mono, updates, effects);
  Start(*std::move(passed), now, updates, effects);
  return std::nullopt;
}

void CommandDesk::Start(PassedCommand command, Now now, Updates& updates, Effects& effects) {
  if (disk_missing_) {
    Say(IdOf(command), v1::COMMAND_STATE_REJECTED, "the disk cannot be opened", updates);
    return updates.back().set_reason("spool_failed");
  }
  const bool is_saved = !memory_.is_kept();
  if (const auto* segment = std::get_if<SegmentOrder>(&command)) {
    return executor_.Add(*segment, is_saved, now.mono, updates, effects);
  }
  if (auto* can = std::get_if<CanCommand>(&command)) {
    return buses_.Add(std::move(*can), is_saved, now, updates, effects);
  }
  buses_.Add(std::get<ModbusCommand>(std::move(command)), is_saved, now, updates, effects);
}

void CommandDesk::Done(const SpoolDone& done, Now now, Updates& updates, Effects& effects) {
  memory_.Done(done, now.mono);
  for (const RememberedCommand& command : done.asked.remember) {
    executor_.Saved(CommandId{command.id}, done.status.ok(), now.mono, updates, effects);
    buses_.Saved(CommandId{command.id}, done.status.ok(), now, updates, effects);
  }
}

std::optional<v1::Event> CommandDesk::Obey(const CancelOrder& order, MonoTime now, Updates& updates, Effects& effects) {
  Say(order.command, v1::COMMAND_STATE_RECEIVED, "", updates);
  Say(order.command, v1::COMMAND_STATE_ACCEPTED, "", updates);
  const v1::Cancel& cancel = order.cancel;
  if (cancel.has_command_id()) {
    CancelOne(order, now, updates, effects);
    return std::nullopt;
  }
  const auto covers = [&](const SegmentOrder& segment) {
    return segment.command < order.command &&
           (!cancel.has_entity_id() || segment.entity == EntityId{cancel.entity_id()});
  };
  const absl::string_view reason = cancel.stop() ? "stopped" : "cancelled";
  size_t ended = executor_.Cancel(covers, reason, now, updates, effects);
  if (!cancel.has_entity_id()) ended += buses_.StopBelow(order.command, reason, updates, effects);
  const std::string detail = absl::StrCat("ended ", ended);
  Say(order.command, v1::COMMAND_STATE_DONE, detail, updates);
  if (!cancel.stop()) return std::nullopt;
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_STOPPED);
  event.set_detail(absl::StrCat("command ", Number(order.command), " ", detail));
  return event;
}

void CommandDesk::CancelOne(const CancelOrder& order, MonoTime now, Updates& updates, Effects& effects) {
  const CommandId target{order.cancel.command_id()};
  const auto is_target = [target](const SegmentOrder& segment) { return segment.command == target; };
  if (executor_.Cancel(is_target, "cancelled", now, updates, effects) > 0 || buses_.Cancel(target, updates, effects)) {
    return Say(order.command, v1::COMMAND_STATE_DONE, "", updates);
  }
  if (memory_.Find(Number(target)) != nullptr) {
    return Say(order.command, v1::COMMAND_STATE_DONE, "already done", updates);
  }
  if (!memory_.ReachesBackTo(Number(target), order.issued_ms)) {  // so it will not run either
    return Say(order.command, v1::COMMAND_STATE_DONE, "not known any more", updates);
  }
  if (!BarFromRunning(order, now)) {
    Say(order.command, v1::COMMAND_STATE_FAILED, "", updates);
    return updates.back().set_reason("overloaded");
  }
  Say(order.command, v1::COMMAND_STATE_DONE, "had not arrived, will not run", updates);
}

bool CommandDesk::BarFromRunning(const CancelOrder& order, MonoTime now) {
  // When it is to expire is not known, but it was issued before the cancel.
  return memory_.Add({.id = order.cancel.command_id(),
                      .expires_ms = order.issued_ms + CommandMemory::kMaxTtlMs,
                      .state = v1::COMMAND_STATE_CANCELLED,
                      .reason = "cancelled"},
                     server_time_.NowMs(now));
}

void CommandDesk::Settle(const Updates& updates, MonoTime now, SpoolWork& work) {
  for (const v1::CommandUpdate& update : updates) memory_.Change(update);
  memory_.Save(now, work);
}

}  // namespace fleet::device
