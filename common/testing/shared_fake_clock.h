// FakeClock for tests with threads: any thread may read it while the test moves it.
#pragma once

#include "common/mutex.h"
#include "common/testing/fake_clock.h"

namespace fleet {

class SharedFakeClock : public Clock {
 public:
  Now Read() const override {
    MutexLock lock(mu_);
    return clock_.Read();
  }
  void Advance(absl::Duration d) {
    MutexLock lock(mu_);
    clock_.Advance(d);
  }

 private:
  mutable Mutex mu_;
  FakeClock clock_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fleet
