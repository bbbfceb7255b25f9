// Comma-separated values (RFC 4180), with the line ends of this system. Texts come from devices: nothing in them drives
// a terminal, and no spreadsheet takes one for a formula.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "tools/fleetctl/human.h"

namespace fleet {

// A spreadsheet would compute it.
inline bool IsFormula(absl::string_view text) {
  double number = 0;
  return text.find_first_of("=+-@") == 0 && !absl::SimpleAtod(text, &number);
}

inline std::string CsvField(absl::string_view text) {
  const std::string field = absl::StrCat(IsFormula(text) ? "'" : "", Printable(text));
  if (field.find_first_of(",\"") == std::string::npos) return field;
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

// One line with its newline.
inline std::string CsvLine(const std::vector<std::string>& fields) {
  return absl::StrJoin(fields, ",", [](std::string* out, absl::string_view field) { *out += CsvField(field); }) + "\n";
}

}  // namespace fleet
