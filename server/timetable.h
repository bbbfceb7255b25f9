// What is due when: at most one time for each id, so it is as bounded as they are. The id's owner keeps its time, by
// which it is found here. Pure.
#pragma once

#include <optional>
#include <set>
#include <utility>

#include "common/clock.h"

namespace fleet::server {

template <typename Id>
class Timetable {
 public:
  // Moves `id` from the time in `slot` to `at`. Max: not due at all.
  void Set(Id id, MonoTime& slot, MonoTime at) {
    if (slot == at) return;
    if (slot != MonoTime::Max()) times_.erase({slot, id});
    if (at != MonoTime::Max()) times_.emplace(at, id);
    slot = at;
  }
  // The earliest one that is due. It stays: the owner moves it.
  std::optional<Id> Due(MonoTime now) const {
    if (times_.empty() || times_.begin()->first > now) return std::nullopt;
    return times_.begin()->second;
  }
  MonoTime Next() const { return times_.empty() ? MonoTime::Max() : times_.begin()->first; }

 private:
  std::set<std::pair<MonoTime, Id>> times_;
};

}  // namespace fleet::server
