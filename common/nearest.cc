#include "common/nearest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

// Levenshtein's distance; another case costs nothing.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = absl::ascii_tolower(static_cast<unsigned char>(a[i - 1])) ==
                        absl::ascii_tolower(static_cast<unsigned char>(b[j - 1]));
      const size_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Nearest(absl::string_view unknown, const std::vector<NearestCandidate>& candidates) {
  constexpr size_t kLongestWorthComparing = 64;
  if (unknown.size() > kLongestWorthComparing) return "";
  std::string nearest;
  size_t best = std::max<size_t>(2, unknown.size() / 3) + 1;
  for (const NearestCandidate& candidate : candidates) {
    const size_t distance = EditDistance(unknown, candidate.spelling);
    if (distance >= best) continue;
    best = distance;
    nearest = candidate.meant;
  }
  return nearest;
}

std::string DidYouMean(absl::string_view unknown, const std::vector<std::string>& names) {
  std::vector<NearestCandidate> candidates;
  for (const std::string& name : names) candidates.push_back({.spelling = name, .meant = name});
  const std::string nearest = Nearest(unknown, candidates);
  return nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?");
}

}  // namespace fleet
