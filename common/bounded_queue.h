// A queue between threads: many push, one takes everything at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/mutex.h"

namespace fleet {

// Holds at most `capacity` items; when full a push is refused and counted, because the pusher is a thread that must
// not block. `on_first` runs on the pushing thread, outside the lock, when the queue stops being empty: it wakes the
// reader. Any thread may call anything.
template <typename T>
class BoundedQueue {
 public:
  BoundedQueue(size_t capacity, std::function<void()> on_first) : capacity_(capacity), on_first_(std::move(on_first)) {}

  // False: full, `item` was dropped and counted; or closed.
  bool Push(T item) {
    {
      MutexLock lock(mu_);
      if (closed_) return false;
      if (items_.size() >= capacity_) {
        ++dropped_;
        return false;
      }
      items_.push_back(std::move(item));
      if (items_.size() != 1) return true;
    }
    on_first_();
    return true;
  }

  // From now on every push is refused. What is in it stays.
  void Close() {
    MutexLock lock(mu_);
    closed_ = true;
  }

  // Moves all items into `out`, which is cleared first. Swapping keeps both buffers' memory in use.
  void TakeAll(std::vector<T>& out) {
    out.clear();
    MutexLock lock(mu_);
    items_.swap(out);
  }

  size_t size() const {
    MutexLock lock(mu_);
    return items_.size();
  }
  uint64_t dropped() const {
    MutexLock lock(mu_);
    return dropped_;
  }

 private:
  const size_t capacity_;
  const std::function<void()> on_first_;
  mutable Mutex mu_;
  std::vector<T> items_ ABSL_GUARDED_BY(mu_);
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fleet
