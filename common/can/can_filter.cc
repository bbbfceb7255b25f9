#include "common/can/can_filter.h"

#include <algorithm>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/can/hex.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr size_t kMaxQuoted = 48;

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxQuoted)), "\": ", why));
}

absl::Status CheckMasked(absl::string_view what, uint32_t number, bool extended) {
  if (number <= (extended ? kMaxExtendedCanId : kMaxStandardCanId)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " ", absl::Hex(number), " of a filter is above ",
                                                 extended ? "1fffffff" : "7ff; an extended id has 8 digits"));
}

}  // namespace

absl::StatusOr<v1::CanFilter> ParseCanFilter(absl::string_view text) {
  const size_t colon = text.find(':');
  const absl::string_view digits = text.substr(0, colon);
  const std::optional<uint32_t> id = ReadHex(digits);
  if (!id || (digits.size() > 3 && digits.size() < 8)) {
    return Bad(text, "a filter is id:mask in hexadecimal; the id has up to 3 digits, or 8 if it is extended");
  }
  v1::CanFilter filter;
  filter.set_id(*id);
  filter.set_extended(digits.size() == 8);
  filter.set_mask(filter.extended() ? kMaxExtendedCanId : kMaxStandardCanId);
  if (colon != absl::string_view::npos) {
    const std::optional<uint32_t> mask = ReadHex(text.substr(colon + 1));
    if (!mask) return Bad(text, "the mask is not 1 to 8 hexadecimal digits");
    filter.set_mask(*mask);
  }
  if (const absl::Status checked = CheckCanFilter(filter); !checked.ok()) return Bad(text, checked.message());
  return filter;
}

absl::Status CheckCanFilter(const v1::CanFilter& filter) {
  RETURN_IF_ERROR(CheckMasked("id", filter.id(), filter.extended()));
  return CheckMasked("mask", filter.mask(), filter.extended());
}

std::string CanFilterText(const v1::CanFilter& filter) {
  const int digits = filter.extended() ? 8 : 3;
  char text[8 + 1 + 8];
  char* end = PutHex(text, filter.id(), digits);
  *end++ = ':';
  end = PutHex(end, filter.mask(), digits);
  return std::string(text, end);
}

bool Passes(const v1::CanFilter& filter, const CanFrame& frame) {
  if (frame.is(kCanError) || frame.is(kCanExtended) != filter.extended()) return false;
  return ((frame.id ^ filter.id()) & filter.mask()) == 0;
}

bool PassesAny(const google::protobuf::RepeatedPtrField<v1::CanFilter>& filters, const CanFrame& frame) {
  if (filters.empty()) return true;
  return std::ranges::any_of(filters, [&frame](const v1::CanFilter& filter) { return Passes(filter, frame); });
}

}  // namespace fleet
