#include "device/signals/signal_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

constexpr double kLongestWithoutExponent = 1e15;  // below it a double has all digits before its point

// With a point come zeros that say nothing; and what is rounded to zero has no sign.
absl::string_view WithoutEmptyDigits(absl::string_view text) {
  if (text.find('.') != absl::string_view::npos) {
    while (text.back() == '0') text.remove_suffix(1);
    if (text.back() == '.') text.remove_suffix(1);
  }
  return text == "-0" ? text.substr(1) : text;
}

std::string NumberText(double value, int decimals) {
  char buffer[64];  // 15 digits, a sign, a point and at most 21 decimals, or what %g needs
  char* const end = std::end(buffer);
  const auto narrow = static_cast<float>(value);
  std::to_chars_result result{};
  if (std::abs(value) >= kLongestWithoutExponent) {
    result = std::to_chars(buffer, end, value);
  } else if (decimals >= 0) {
    result = std::to_chars(buffer, end, value, std::chars_format::fixed, std::min(decimals, 15));
  } else if (static_cast<double>(narrow) == value) {
    result = std::to_chars(buffer, end, narrow, std::chars_format::fixed);  // 0.1, not 0.10000000149011612
  } else {
    result = std::to_chars(buffer, end, value, std::chars_format::fixed);
  }
  if (result.ec != std::errc()) result = std::to_chars(buffer, end, value);  // 1e-300 is long without exponent
  return std::string(WithoutEmptyDigits(absl::string_view(buffer, static_cast<size_t>(result.ptr - buffer))));
}

std::string RangeText(const SignalLabel& label) {
  const std::string low = NumberText(label.low, -1);
  return label.low == label.high ? low : absl::StrCat(low, "..", NumberText(label.high, -1));
}

bool ParseNumber(absl::string_view text, double& value) {
  return absl::SimpleAtod(text, &value) && std::isfinite(value);
}

bool IsWord(absl::string_view word) {
  return !word.empty() && word.size() <= kMaxWordBytes && word != kInvalidText &&
         std::none_of(word.begin(), word.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

absl::StatusOr<SignalLabel> ParseLabel(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  const size_t dots = parts.first.find("..");
  SignalLabel label{.low = 0, .high = 0, .word = std::string(parts.second)};
  const bool is_range = dots != absl::string_view::npos;
  if (!ParseNumber(parts.first.substr(0, dots), label.low) ||
      !ParseNumber(is_range ? parts.first.substr(dots + 2) : parts.first, label.high)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not VALUE=WORD or LOW..HIGH=WORD"));
  }
  if (label.low > label.high) return absl::InvalidArgumentError(absl::StrCat("'", text, "' ends before it begins"));
  if (!IsWord(label.word)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' has no usable word: 1 to ", kMaxWordBytes,
                                                   " printable bytes, not \"", kInvalidText, "\""));
  }
  return label;
}

// Not for 1e-10, which is near a whole number and is none.
bool IsWhole(double value) {
  const double whole = std::round(value);
  return std::abs(value - whole) <= 1e-9 * std::max(1.0, std::abs(value)) && (whole != 0 || value == 0);
}

}  // namespace

std::string SignalText(double value, int decimals, const std::vector<SignalLabel>& labels) {
  if (!std::isfinite(value)) return kInvalidText;
  const auto above = std::upper_bound(labels.begin(), labels.end(), value,
                                      [](double v, const SignalLabel& label) { return v < label.low; });
  if (above != labels.begin() && value <= std::prev(above)->high) return std::prev(above)->word;
  return NumberText(value, decimals);
}

absl::Status SortLabels(std::vector<SignalLabel>& labels) {
  std::sort(labels.begin(), labels.end(), [](const SignalLabel& a, const SignalLabel& b) { return a.low < b.low; });
  const auto overlap = std::adjacent_find(labels.begin(), labels.end(),
                                          [](const SignalLabel& a, const SignalLabel& b) { return b.low <= a.high; });
  if (overlap == labels.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", RangeText(*overlap), "=", overlap->word, "' and '",
                                                 RangeText(*std::next(overlap)), "=", std::next(overlap)->word,
                                                 "' overlap"));
}

absl::StatusOr<std::vector<SignalLabel>> ParseLabels(absl::string_view text) {
  std::vector<SignalLabel> labels;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    if (labels.size() == kMaxLabels) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxLabels, " labels"));
    }
    ASSIGN_OR_RETURN(labels.emplace_back(), ParseLabel(absl::StripAsciiWhitespace(part)));
  }
  RETURN_IF_ERROR(SortLabels(labels));
  return labels;
}

int DecimalsFor(double factor, double offset) {
  if (!std::isfinite(factor) || factor == 0) return 0;
  constexpr int kExact = 3;
  constexpr int kMost = 15;
  double scale = 1;
  for (int decimals = 0; decimals <= kExact; ++decimals, scale *= 10) {
    if (IsWhole(factor * scale) && IsWhole(offset * scale)) return decimals;
  }
  const double fewest = std::ceil(-std::log10(std::abs(factor)) - 1e-9);
  return static_cast<int>(std::clamp<double>(fewest, 0, kMost));
}

}  // namespace fleet::device
