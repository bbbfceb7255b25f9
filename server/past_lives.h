// The lives that a device was in before its present one. A device that restarts never comes back to an earlier life; so
// a life that comes back is a second agent with the same id. Pure; loop thread only. Bounded: the last kMax are known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace fleet::server {

// One run of an agent (docs/protocol.md section 1).
struct Life {
  uint32_t epoch = 0;            // 0: none
  uint64_t started_unix_ms = 0;  // 0: not told yet

  // As far as it is known.
  bool Is(const Life& other) const {
    const bool unknown = started_unix_ms == 0 || other.started_unix_ms == 0;
    return epoch == other.epoch && (unknown || started_unix_ms == other.started_unix_ms);
  }
};

class PastLives {
 public:
  static constexpr size_t kMax = 4;

  // The device is in `to` now. True: it was in it before.
  bool Move(const Life& from, const Life& to);

  // The latest one that was left and fits; nullptr: none. Good until the next Move.
  const Life* Find(const Life& life) const;
  const Life* Find(uint32_t epoch) const { return Find(Life{.epoch = epoch}); }

 private:
  std::deque<Life> lives_;  // latest first, each once
};

}  // namespace fleet::server
