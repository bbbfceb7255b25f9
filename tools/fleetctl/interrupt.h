// Ctrl-C, as something that can be asked and waited for.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace fleet {

// Triggered once, by the first Ctrl-C or by a test. Any thread may call anything.
class Interrupt {
 public:
  // `on_trigger` runs on the triggering thread: it cuts short what blocks.
  explicit Interrupt(std::function<void()> on_trigger) : on_trigger_(std::move(on_trigger)) {}

  void Trigger();
  bool triggered() const;
  // Waits that long. False: triggered before or meanwhile.
  bool Pause(absl::Duration duration);

 private:
  const std::function<void()> on_trigger_;
  mutable Mutex mu_;
  CondVar cv_;
  bool triggered_ ABSL_GUARDED_BY(mu_) = false;
};

// Triggers `interrupt` on SIGINT and SIGTERM; a second one ends the process at once. Make it before any other thread:
// it blocks the two signals for all of them, and a thread of its own waits for them.
class SignalWatch {
 public:
  explicit SignalWatch(Interrupt& interrupt);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  void Run();

  Interrupt& interrupt_;
  sigset_t signals_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace fleet
