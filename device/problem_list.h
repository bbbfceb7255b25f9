// What went wrong lately, for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fleet::device {

// The newest distinct problems, oldest first. One that comes again is counted and becomes the newest. Loop thread only.
// Bounds: kMaxProblems of kMaxTextBytes; the oldest goes.
class ProblemList {
 public:
  static constexpr size_t kMaxProblems = 16;
  static constexpr size_t kMaxTextBytes = 300;

  struct Problem {
    std::string what;
    int64_t first_unix_ms = 0;
    int64_t last_unix_ms = 0;
    uint64_t count = 0;
  };

  void Note(absl::string_view what, int64_t at_unix_ms);
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

}  // namespace fleet::device
