// The one thread that owns all domain state of a program.
#pragma once

#include <functional>

#include "common/bounded_queue.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fleet {

// Sleeps until it is woken or something is due, then runs a turn, over and over. Turns are paced: they begin at least
// kMinTurn apart, so that under load messages gather and are handled together, while a lone message is handled at once.
// A posted task never waits for that.
//
// Wake, Post and Stop may be called from any thread; Run by one.
class EventLoop {
 public:
  static constexpr size_t kMaxPosted = 4096;
  static constexpr absl::Duration kMinTurn = absl::Milliseconds(1);
  static constexpr absl::Duration kBusyTurn = absl::Milliseconds(5);

  // Does what is due and says when it wants to run again.
  using Turn = std::function<MonoTime(Now now)>;

  explicit EventLoop(const Clock& clock);

  void Wake();
  // Runs `task` on the loop thread before the next turn. False: too many are waiting or Run has ended, it will not run.
  bool Post(std::function<void()> task);
  void Stop();

  void Run(const Turn& turn);

  // Inside a turn: there is so much to do that the next one begins kBusyTurn after this one began. Waking a core costs
  // as much as handling twenty messages.
  void ExpectMore() { expects_more_ = true; }
  // Inside a turn: somebody waits for what comes next, so the next one need not wait. ExpectMore comes before it.
  void Hurry() { hurries_ = true; }

  // Stops this loop on SIGINT and SIGTERM. Call before any thread is started: it blocks the two signals for all of
  // them, and a thread of its own waits for the first. Ends with the process.
  void StopOnSignals();

 private:
  // False: stopped.
  bool SleepUntil(MonoTime due);
  // Before the next turn, `took` after this one began.
  void Pace(absl::Duration took);
  void WakeForTask();

  const Clock& clock_;
  bool expects_more_ = false;  // loop thread
  bool hurries_ = false;       // loop thread
  BoundedQueue<std::function<void()>> posted_;
  Mutex mu_;
  CondVar cv_;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool has_task_ ABSL_GUARDED_BY(mu_) = false;
  bool paces_ ABSL_GUARDED_BY(mu_) = false;  // only a task may end the sleep
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fleet
