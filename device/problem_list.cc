#include "device/problem_list.h"

#include <algorithm>

#include "device/utf8.h"

namespace fleet::device {

void ProblemList::Note(absl::string_view what, int64_t at_unix_ms) {
  const std::string text = CutUtf8(what, kMaxTextBytes);
  const auto found = std::ranges::find(problems_, text, &Problem::what);
  if (found != problems_.end()) {
    found->last_unix_ms = at_unix_ms;
    ++found->count;
    std::rotate(found, found + 1, problems_.end());
    return;
  }
  if (problems_.size() == kMaxProblems) problems_.erase(problems_.begin());
  problems_.push_back({.what = text, .first_unix_ms = at_unix_ms, .last_unix_ms = at_unix_ms, .count = 1});
}

}  // namespace fleet::device
