// What was probably meant by a name that does not exist.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fleet {

struct NearestCandidate {
  std::string spelling;
  std::string meant;
};

// What the nearest spelling means, capitals and small letters taken for the same; empty: none differs in less than a
// third.
std::string Nearest(absl::string_view unknown, const std::vector<NearestCandidate>& candidates);

// "; did you mean NAME?", or empty. For the end of an error.
std::string DidYouMean(absl::string_view unknown, const std::vector<std::string>& names);

}  // namespace fleet
