#include "server/can_orders.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/can/can_columns.h"
#include "common/can/can_filter.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "server/asked_by.h"

namespace fleet::server {
namespace {

absl::Status CheckBusAndBy(absl::string_view bus, absl::string_view by) {
  if (!IsBusName(bus)) {
    return absl::InvalidArgumentError(absl::StrCat("bus \"", absl::CHexEscape(bus.substr(0, kMaxBusBytes)),
                                                   "\" is not 1 to ", kMaxBusBytes, " of A-Z a-z 0-9 . _ -"));
  }
  return CheckBy(by);
}

}  // namespace

absl::Status Check(const v1::CanSend& send) {
  RETURN_IF_ERROR(CheckBusAndBy(send.bus(), send.by()));
  const int count = send.frames().id_size();
  if (count < 1 || count > kMaxFramesPerSend) {
    return absl::InvalidArgumentError(absl::StrCat(count, " frames; 1 to ", kMaxFramesPerSend, " are sent at once"));
  }
  bool sendable = true;
  const absl::Status valid = ForEachFrame(send.frames(), [&sendable](const CanFrame& frame) {
    sendable = sendable && !frame.is(kCanError) && !frame.is(kCanSent);
  });
  if (!valid.ok()) return absl::InvalidArgumentError(valid.message());
  if (sendable) return absl::OkStatus();
  return absl::InvalidArgumentError("an error frame is what a controller reports; it cannot be sent");
}

absl::Status Check(const v1::CanTap& tap) {
  RETURN_IF_ERROR(CheckBusAndBy(tap.bus(), tap.by()));
  if (tap.filters_size() > kMaxTapFilters) {
    return absl::InvalidArgumentError(
        absl::StrCat(tap.filters_size(), " filters; a tap has at most ", kMaxTapFilters, ", join them with masks"));
  }
  for (const v1::CanFilter& filter : tap.filters()) RETURN_IF_ERROR(CheckCanFilter(filter));
  const absl::Duration duration = absl::Milliseconds(tap.duration_ms());
  if (duration > absl::ZeroDuration() && duration <= kMaxTap) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a tap for ", absl::FormatDuration(duration), "; it may last 1ms to ",
                                                 absl::FormatDuration(kMaxTap)));
}

absl::Status Check(const v1::ClearDtcs& clear) {
  return CheckBusAndBy(clear.bus(), clear.by());
}

}  // namespace fleet::server
