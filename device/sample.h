// One value of one signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace fleet::device {

inline constexpr size_t kMaxSignalBytes = 64;

struct Sample {
  std::string signal;      // see IsSignalName
  double value = 0;        // NaN: the signal is invalid
  int64_t at_unix_ms = 0;  // 0: when it is taken
};

// Two or more parts of A-Z a-z 0-9 . _ - with / between them, at most kMaxSignalBytes.
bool IsSignalName(absl::string_view text);

}  // namespace fleet::device
