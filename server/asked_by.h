// Who asks for what is done to a bus, as the audit keeps it.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fleet::server {

inline constexpr size_t kMaxByBytes = 64;

// kInvalidArgument: too long or not printable ASCII. Nobody may be said to ask.
absl::Status CheckBy(absl::string_view by);

}  // namespace fleet::server
