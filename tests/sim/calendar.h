// Who is due when. Many that are due at the same moment share one page, so that a fleet whose periods lie on a grid
// costs next to nothing to schedule.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "common/clock.h"

namespace fleet {

class Calendar {
 public:
  void Add(MonoTime due, uint32_t who) {
    if (due == MonoTime::Max()) return;
    if (last_ == pages_.end() || last_->first != due) last_ = pages_.try_emplace(due).first;
    last_->second.push_back(who);
  }
  MonoTime NextDue() const { return pages_.empty() ? MonoTime::Max() : pages_.begin()->first; }

  // Moves those that are due at NextDue into `out`, in the order they were added.
  void TakeFirst(std::vector<uint32_t>& out) {
    out.clear();
    out.swap(pages_.begin()->second);
    if (last_ == pages_.begin()) last_ = pages_.end();
    pages_.erase(pages_.begin());
  }

 private:
  using Pages = std::map<MonoTime, std::vector<uint32_t>>;
  Pages pages_;
  Pages::iterator last_ = pages_.end();  // where the last one was added
};

}  // namespace fleet
