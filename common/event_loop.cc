#include "common/event_loop.h"

#include <signal.h>

#include <thread>
#include <utility>
#include <vector>

namespace fleet {

EventLoop::EventLoop(const Clock& clock) : clock_(clock), posted_(kMaxPosted, [this] { WakeForTask(); }) {}

// Notified outside the lock: woken inside it, the loop would only wait for us to leave it.
void EventLoop::Wake() {
  {
    MutexLock lock(mu_);
    woken_ = true;
    if (paces_) return;
  }
  cv_.NotifyAll();
}

void EventLoop::WakeForTask() {
  {
    MutexLock lock(mu_);
    woken_ = has_task_ = true;
  }
  cv_.NotifyAll();
}

bool EventLoop::Post(std::function<void()> task) {
  return posted_.Push(std::move(task));
}

void EventLoop::Stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  cv_.NotifyAll();
}

bool EventLoop::SleepUntil(MonoTime due) {
  MutexLock lock(mu_);
  while (!woken_ && !stopped_) {
    const MonoTime now = clock_.Read().mono;
    if (now >= due) break;
    cv_.WaitFor(mu_, due == MonoTime::Max() ? absl::Hours(1) : due - now);
  }
  woken_ = has_task_ = false;
  return !stopped_;
}

void EventLoop::Pace(absl::Duration took) {
  const bool hurries = std::exchange(hurries_, false);
  const bool expects_more = std::exchange(expects_more_, false);
  if (hurries && !expects_more) return;
  const absl::Duration at_least = expects_more ? kBusyTurn : kMinTurn;
  if (took >= at_least) return;
  MutexLock lock(mu_);
  if (has_task_ || stopped_) return;
  paces_ = true;
  cv_.WaitFor(mu_, at_least - took);  // a little early does no harm
  paces_ = false;
}

void EventLoop::Run(const Turn& turn) {
  std::vector<std::function<void()>> tasks;
  MonoTime due;
  while (SleepUntil(due)) {
    const Now now = clock_.Read();
    posted_.TakeAll(tasks);
    for (auto& task : tasks) task();
    due = turn(now);
    Pace(clock_.Read().mono - now.mono);
  }
  posted_.Close();
  posted_.TakeAll(tasks);
  for (auto& task : tasks) task();  // whoever waits for an answer gets one
}

void EventLoop::StopOnSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  std::thread([this, set] {
    int signal_number = 0;
    sigwait(&set, &signal_number);
    Stop();
  }).detach();
}

}  // namespace fleet
