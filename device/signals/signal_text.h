// The plain text of a value, as it is published for people and other tools.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fleet::device {

// A word for all values from `low` to `high`, both included.
struct SignalLabel {
  double low = 0;
  double high = 0;
  std::string word;
};

inline constexpr char kInvalidText[] = "invalid";  // instead of a value that is not known; no label has this word
inline constexpr size_t kMaxLabels = 256;          // of one signal
inline constexpr size_t kMaxWordBytes = 64;

// The word of the label that `value` is in, or else a number without exponent, rounded to `decimals` (-1: as many as
// read back as the same number), without zeros at its end: "3500", "-0.5", "P". kInvalidText unless `value` is finite.
// `labels`: in rising order, not overlapping, as SortLabels leaves them. From 1e15 on numbers have an exponent.
std::string SignalText(double value, int decimals, const std::vector<SignalLabel>& labels);

// "-125..-1=R,0=N,1..124=D,126=P", sorted. kInvalidArgument, with the part that is wrong: no number, a range that ends
// before it begins, overlap, no word, a word that is `invalid`, too long or not printable, too many.
absl::StatusOr<std::vector<SignalLabel>> ParseLabels(absl::string_view text);
// Puts them in order; kInvalidArgument: two overlap.
absl::Status SortLabels(std::vector<SignalLabel>& labels);

// Decimals that tell all values of a signal with this resolution apart: exact where at most three are enough (0.125:
// 3), else the fewest whose step is not coarser than the signal's (1/256: 3, 1e-7: 7). 0 for 0 or no number.
int DecimalsFor(double factor, double offset);

}  // namespace fleet::device
