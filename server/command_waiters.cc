#include "server/command_waiters.h"

#include <algorithm>
#include <utility>

namespace fleet::server {

bool CommandWaiters::Wait(Waiter waiter, const Commands& commands) {
  const Command* command = commands.Find(waiter.id);
  if (command == nullptr || waiter.reached(*command)) {
    waiter.answer(command);
    return true;
  }
  if (waiters_.size() >= kMaxWaiting) return false;
  const CommandId id = waiter.id;
  waiters_.emplace(id, std::move(waiter));
  return true;
}

void CommandWaiters::Tick(const Changes& changes, const Commands& commands, MonoTime now) {
  if (waiters_.empty()) return;
  for (CommandId id : changes.stored) Look(id, commands);
  for (const CommandStepRow& step : changes.rows.steps) Look(step.id, commands);
  std::erase_if(waiters_, [&](const auto& entry) {
    if (entry.second.until > now) return false;
    entry.second.answer(commands.Find(entry.first));
    return true;
  });
}

void CommandWaiters::Look(CommandId id, const Commands& commands) {
  const Command* command = commands.Find(id);
  auto [waiting, end] = waiters_.equal_range(id);
  while (waiting != end) {
    if (command != nullptr && !waiting->second.reached(*command)) {
      ++waiting;
      continue;
    }
    waiting->second.answer(command);
    waiting = waiters_.erase(waiting);
  }
}

MonoTime CommandWaiters::NextDue() const {
  MonoTime due = MonoTime::Max();
  for (const auto& [id, waiter] : waiters_) due = std::min(due, waiter.until);
  return due;
}

void CommandWaiters::Close(const Commands& commands) {
  for (const auto& [id, waiter] : waiters_) waiter.answer(commands.Find(id));
  waiters_.clear();
}

}  // namespace fleet::server
