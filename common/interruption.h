// Ends what another thread waits for.
#pragma once

#include <atomic>

#include "absl/time/time.h"

namespace fleet {

// Raised once and for good. Any thread may raise it; whoever waits for a file descriptor waits for this as well.
class Interruption {
 public:
  enum class Woken { kReady, kTimeout, kRaised };

  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  void Raise();
  bool raised() const { return raised_; }
  int fd() const { return fd_; }  // readable from then on

  // Waits until `fd` has one of `events` of poll(2), an error or a hang-up; -1: only for the time to pass. A `timeout`
  // of zero or less only looks.
  Woken Wait(int fd, short events, absl::Duration timeout) const;

 private:
  const int fd_;
  std::atomic<bool> raised_ = false;
};

}  // namespace fleet
