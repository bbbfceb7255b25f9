// Comma-separated values (RFC 4180), with the line ends of this system.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace fleet {

inline std::string CsvField(absl::string_view text) {
  if (text.find_first_of(",\"\r\n") == absl::string_view::npos) return std::string(text);
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

// One line with its newline.
inline std::string CsvLine(const std::vector<std::string>& fields) {
  return absl::StrJoin(fields, ",", [](std::string* out, absl::string_view field) { *out += CsvField(field); }) + "\n";
}

}  // namespace fleet
