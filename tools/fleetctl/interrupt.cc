#include "tools/fleetctl/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include "common/clock.h"

namespace fleet {

void Interrupt::Trigger() {
  {
    MutexLock lock(mu_);
    triggered_ = true;
    cv_.NotifyAll();
  }
  on_trigger_();
}

bool Interrupt::triggered() const {
  MutexLock lock(mu_);
  return triggered_;
}

bool Interrupt::Pause(absl::Duration duration) {
  const SystemClock clock;
  const MonoTime end = clock.Read().mono + duration;  // kept, because CondVar may wake early
  MutexLock lock(mu_);
  while (!triggered_) {
    const absl::Duration left = end - clock.Read().mono;
    if (left <= absl::ZeroDuration()) return true;
    cv_.WaitFor(mu_, left);
  }
  return false;
}

SignalWatch::SignalWatch(Interrupt& interrupt) : interrupt_(interrupt) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { Run(); });
}

SignalWatch::~SignalWatch() {
  over_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);  // wakes the thread, which then sees over_
  thread_.join();
}

void SignalWatch::Run() {
  for (bool again = false;; again = true) {
    int signal = 0;
    sigwait(&signals_, &signal);
    if (over_) return;
    if (again) _exit(128 + signal);
    interrupt_.Trigger();
  }
}

}  // namespace fleet
