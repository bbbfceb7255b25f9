#include "server/asked_by.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet::server {

absl::Status CheckBy(absl::string_view by) {
  const bool printable =
      std::ranges::all_of(by, [](char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)); });
  if (by.size() <= kMaxByBytes && printable) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"by\" must be at most ", kMaxByBytes, " bytes of printable ASCII; it goes into the audit"));
}

}  // namespace fleet::server
