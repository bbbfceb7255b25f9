// JSON that others wrote, and that others read: strict, bounded, always UTF-8. Whoever includes this has the JSON
// library with it, so its users are few: tools/lint.py.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace fleet {

inline constexpr int kMaxJsonDepth = 32;

// One value and nothing after it; of a repeated key the last. Whole numbers are exact up to 64 bits, others the next
// double. kInvalidArgument: what is wrong and where, in at most about 200 bytes; also for a number that no double holds
// and for more than kMaxJsonDepth lists and objects in each other. Takes time in proportion to `text`, which the caller
// bounds. Never throws.
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text);

// Of an object; nullptr: it is not there, or null.
const nlohmann::json* FindField(const nlohmann::json& object, const char* name);

// On one line. Bytes that are not UTF-8 are replaced, numbers that are not finite are null.
std::string DumpJson(const nlohmann::json& value);
std::string JsonString(absl::string_view text);  // with its quotes

// Somebody else's words, to be quoted in a message: trimmed, of at most about 200 bytes, UTF-8.
std::string ForeignWords(absl::string_view text);

}  // namespace fleet
