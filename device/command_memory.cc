#include "device/command_memory.h"

#include <algorithm>
#include <utility>

namespace fleet::device {
namespace {

bool IsOurs(const SpoolWork& work) {
  return !work.remember.empty() || !work.forget.empty() || work.forgotten_up_to || work.memory_began_ms;
}

}  // namespace

bool IsEnd(v1::CommandState state) {
  return state >= v1::COMMAND_STATE_DONE;
}

v1::CommandUpdate UpdateOf(const RememberedCommand& command) {
  v1::CommandUpdate update;
  update.set_command_id(command.id);
  update.set_state(command.state);
  update.set_reason(command.reason);
  update.set_detail(command.detail);
  return update;
}

CommandMemory::CommandMemory(const SpoolContents* contents) : is_kept_(contents != nullptr) {
  if (contents == nullptr) return;
  forgotten_up_to_ = contents->forgotten_up_to;
  began_ms_ = contents->memory_began_ms;
  for (const RememberedCommand& command : contents->commands) Insert(command);
  for (auto& [id, command] : commands_) {
    if (IsEnd(command.state)) continue;
    command.state = v1::COMMAND_STATE_FAILED;
    command.reason = "device_restarted";
    unsaved_.commands.insert(id);
  }
  is_fresh_ = !unsaved_.empty();
}

void CommandMemory::HearTime(int64_t server_ms) {
  if (began_ms_ && *began_ms_ <= server_ms) return;
  began_ms_ = server_ms;
  unsaved_.began = is_fresh_ = true;
}

const RememberedCommand* CommandMemory::Find(uint64_t id) const {
  const auto found = commands_.find(id);
  return found == commands_.end() ? nullptr : &found->second;
}

bool CommandMemory::ReachesBackTo(uint64_t id, int64_t issued_ms) const {
  return id > forgotten_up_to_ && began_ms_ && issued_ms >= *began_ms_;
}

const CommandMemory::Barrier& CommandMemory::BarrierOf(uint32_t entity_id) const {
  static constexpr Barrier kNone;
  const auto found = barriers_.find(entity_id);
  return found == barriers_.end() ? kNone : found->second;
}

uint64_t CommandMemory::CancelledBelow(uint32_t entity_id) const {
  return std::max(BarrierOf(0).cancelled_below, BarrierOf(entity_id).cancelled_below);
}

uint64_t CommandMemory::ReplacedBelow(uint32_t entity_id) const {
  return BarrierOf(entity_id).replaced_below;
}

bool CommandMemory::Add(RememberedCommand command, std::optional<int64_t> server_now_ms) {
  while (commands_.size() >= kMaxCommands) {
    if (!MakeRoom(server_now_ms)) return false;
  }
  unsaved_.commands.insert(command.id);
  is_fresh_ = true;
  Insert(std::move(command));
  return true;
}

void CommandMemory::Insert(RememberedCommand command) {
  if (command.is_barrier) {
    Barrier& barrier = barriers_[command.entity_id];
    uint64_t& below = command.is_cancel ? barrier.cancelled_below : barrier.replaced_below;
    below = std::max(below, command.id);
  }
  by_expiry_.emplace(command.expires_ms, command.id);
  commands_.insert_or_assign(command.id, std::move(command));
}

void CommandMemory::Change(const v1::CommandUpdate& update) {
  const auto found = commands_.find(update.command_id());
  if (found == commands_.end()) return;
  RememberedCommand& command = found->second;
  if (command.state == update.state() && command.reason == update.reason()) return;  // only said again
  command.state = update.state();
  command.reason = update.reason();
  command.detail = update.detail();
  unsaved_.commands.insert(command.id);
  is_fresh_ = true;
}

bool CommandMemory::MakeRoom(std::optional<int64_t> server_now_ms) {
  if (!server_now_ms) return false;
  const std::optional<uint64_t> id = Forgettable(*server_now_ms);
  if (id) Forget(*id);
  return id.has_value();
}

std::optional<uint64_t> CommandMemory::Forgettable(int64_t server_now_ms) const {
  for (const auto& [expires_ms, id] : by_expiry_) {
    if (expires_ms + kKeptBeyondExpiryMs > server_now_ms) break;
    if (IsEnd(commands_.at(id).state)) return id;  // a segment may run on past its time to live
  }
  if (by_expiry_.empty()) return std::nullopt;
  // The server's clock went back by more than any time to live: a copy would be from the future, and refused.
  const auto& [expires_ms, id] = *by_expiry_.rbegin();
  const bool is_from_future = expires_ms > server_now_ms + kMaxTtlMs + kKeptBeyondExpiryMs;
  if (is_from_future && IsEnd(commands_.at(id).state)) return id;
  return std::nullopt;
}

void CommandMemory::Forget(uint64_t id) {
  by_expiry_.erase({commands_.at(id).expires_ms, id});
  commands_.erase(id);
  unsaved_.commands.erase(id);
  // What has no place here stays on the disk until the next life forgets it.
  if (unsaved_.forgotten.size() < kMaxCommands) unsaved_.forgotten.push_back(id);
  if (id <= forgotten_up_to_) return;
  forgotten_up_to_ = id;
  unsaved_.forgotten_up_to = true;
}

void CommandMemory::Save(MonoTime now, SpoolWork& work) {
  if (unsaved_.empty()) return;
  if (!is_kept_) unsaved_ = {};
  if (now < NextDue()) return;
  if (!IsOurs(work)) ++works_;
  for (const uint64_t id : unsaved_.commands) work.remember.push_back(commands_.at(id));
  work.forget.insert(work.forget.end(), unsaved_.forgotten.begin(), unsaved_.forgotten.end());
  if (unsaved_.forgotten_up_to) work.forgotten_up_to = forgotten_up_to_;
  if (unsaved_.began) work.memory_began_ms = began_ms_;
  unsaved_ = {};
  is_fresh_ = false;
}

MonoTime CommandMemory::NextDue() const {
  if (!is_kept_ || unsaved_.empty() || works_ >= kMaxWorks) return MonoTime::Max();
  return is_fresh_ ? MonoTime() : retry_at_;
}

void CommandMemory::Done(const SpoolDone& done, MonoTime now) {
  if (!IsOurs(done.asked)) return;
  if (works_ > 0) --works_;
  if (done.status.ok()) return;
  TakeBack(done.asked);
  retry_at_ = now + kRetryAfter;
}

void CommandMemory::TakeBack(const SpoolWork& work) {
  for (const RememberedCommand& command : work.remember) {
    if (commands_.contains(command.id)) unsaved_.commands.insert(command.id);
  }
  for (const uint64_t id : work.forget) {
    if (unsaved_.forgotten.size() < kMaxCommands) unsaved_.forgotten.push_back(id);
  }
  unsaved_.forgotten_up_to |= work.forgotten_up_to.has_value();
  unsaved_.began |= work.memory_began_ms.has_value();
}

}  // namespace fleet::device
