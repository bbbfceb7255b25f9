// Those who wait for a command to get somewhere: each is answered in the turn in which it does, or when its time is
// over. Loop thread only. Bounded by kMaxWaiting; one more is refused.
#pragma once

#include <functional>
#include <map>

#include "common/clock.h"
#include "server/changes.h"
#include "server/commands.h"

namespace fleet::server {

class CommandWaiters {
 public:
  static constexpr size_t kMaxWaiting = 512;

  struct Waiter {
    CommandId id;
    std::function<bool(const Command&)> reached;
    MonoTime until;
    // Once. nullptr: it has ended and is in the store only.
    std::function<void(const Command*)> answer;
  };

  // Answers at once when it is there already. False: too many wait, there will be no answer.
  bool Wait(Waiter waiter, const Commands& commands);
  // After each turn: answers those whose command is among what the turn changed, and those whose time is over.
  void Tick(const Changes& changes, const Commands& commands, MonoTime now);
  MonoTime NextDue() const;
  void Close(const Commands& commands);  // answers everybody with what there is
  size_t count() const { return waiters_.size(); }

 private:
  void Look(CommandId id, const Commands& commands);

  std::multimap<CommandId, Waiter> waiters_;
};

}  // namespace fleet::server
