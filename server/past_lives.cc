#include "server/past_lives.h"

#include <algorithm>

namespace fleet::server {

bool PastLives::Move(const Life& from, const Life& to) {
  const bool again = std::erase_if(lives_, [&](const Life& life) { return life.Is(to); }) != 0;
  if (from.epoch == 0) return again;
  lives_.push_front(from);
  if (lives_.size() > kMax) lives_.pop_back();
  return again;
}

const Life* PastLives::Find(const Life& life) const {
  const auto found = std::find_if(lives_.begin(), lives_.end(), [&](const Life& past) { return past.Is(life); });
  return found == lives_.end() ? nullptr : &*found;
}

}  // namespace fleet::server
