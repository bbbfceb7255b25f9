// What is told on standard error while a verb runs, by any thread.
#pragma once

#include <ostream>

#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "tools/fleetctl/human.h"

namespace fleet {

class Notes {
 public:
  explicit Notes(std::ostream& err) : err_(err) {}

  // "fleetctl: TEXT", at once.
  void Say(absl::string_view text) {
    MutexLock lock(mu_);
    err_ << "fleetctl: " << Printable(text) << std::endl;
  }

 private:
  Mutex mu_;
  std::ostream& err_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fleet
