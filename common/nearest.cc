#include "common/nearest.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

constexpr size_t kLongestWorthComparing = 64;

bool SameLetter(char a, char b) {
  return absl::ascii_tolower(static_cast<unsigned char>(a)) == absl::ascii_tolower(static_cast<unsigned char>(b));
}

// How many letters have to be put in, left out, replaced or swapped with their neighbour; another case costs nothing.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = rows[i - 1][j - 1] + (SameLetter(a[i - 1], b[j - 1]) ? 0 : 1);
      rows[i][j] = std::min({replaced, rows[i - 1][j] + 1, rows[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && SameLetter(a[i - 1], b[j - 2]) && SameLetter(a[i - 2], b[j - 1]);
      if (swapped) rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

}  // namespace

std::string Nearest(absl::string_view unknown, const std::vector<NearestCandidate>& candidates) {
  if (unknown.size() > kLongestWorthComparing) return "";
  std::string nearest;
  size_t best = std::max<size_t>(2, unknown.size() / 3) + 1;
  for (const NearestCandidate& candidate : candidates) {
    if (candidate.spelling.size() > kLongestWorthComparing) continue;
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
