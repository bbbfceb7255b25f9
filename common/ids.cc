#include "common/ids.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fleet {

bool DeviceId::IsValid(absl::string_view text) {
  auto allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxBytes && std::all_of(text.begin(), text.end(), allowed);
}

absl::StatusOr<DeviceId> DeviceId::Parse(absl::string_view text) {
  if (!IsValid(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("device id \"", absl::CHexEscape(text.substr(0, 80)), "\" is not 1 to 64 of A-Z a-z 0-9 . _ -"));
  }
  return DeviceId(text);
}

}  // namespace fleet
