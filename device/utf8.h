// Text that may travel in a message: a receiver refuses a message with bytes that are not UTF-8.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace fleet::device {

// At most `max_bytes` of `text`, no character cut in two; bytes that are not UTF-8 become '?'.
std::string CutUtf8(absl::string_view text, size_t max_bytes);

}  // namespace fleet::device
