// How another thread asks the loop and waits for its answer.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/event_loop.h"

namespace fleet {

inline absl::Status TooBusyError() {
  return absl::UnavailableError("too much is to be done just now, try again");
}

// An answer that the loop owes to another thread.
template <typename T>
class Owed {
 public:
  // Loop thread, once.
  void Give(absl::StatusOr<T> answer) { promise_.set_value(std::move(answer)); }
  // kUnavailable: not within `patience`.
  absl::StatusOr<T> Wait(absl::Duration patience) {
    if (ready_.wait_for(absl::ToChronoMilliseconds(patience)) == std::future_status::ready) return ready_.get();
    return TooBusyError();
  }

 private:
  std::promise<absl::StatusOr<T>> promise_;
  std::future<absl::StatusOr<T>> ready_ = promise_.get_future();
};

// Runs `work` on the loop thread, which answers now or later, and waits for that. kUnavailable: too many wait, the loop
// has ended, or there is no answer within `patience`; the work may then still be done.
template <typename T>
absl::StatusOr<T> AwaitFromLoop(EventLoop& loop, const Clock& clock, absl::Duration patience,
                                std::function<void(Now, std::shared_ptr<Owed<T>>)> work) {
  auto answer = std::make_shared<Owed<T>>();
  const bool posted = loop.Post([answer, &clock, work = std::move(work)] { work(clock.Read(), answer); });
  return posted ? answer->Wait(patience) : TooBusyError();
}

// Runs `work` on the loop thread and waits for its answer. Errors as AwaitFromLoop.
template <typename T>
absl::StatusOr<T> AskLoop(EventLoop& loop, const Clock& clock, absl::Duration patience,
                          std::function<absl::StatusOr<T>(Now)> work) {
  return AwaitFromLoop<T>(loop, clock, patience,
                          [work = std::move(work)](Now now, const auto& answer) { answer->Give(work(now)); });
}

}  // namespace fleet
