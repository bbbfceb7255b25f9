#include "server/can_views.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/can/can_columns.h"
#include "common/can/can_filter.h"
#include "common/can/candump.h"
#include "server/can_orders.h"

namespace fleet::server {
namespace {

constexpr uint32_t kDefaultTapMs = 60'000;

absl::Status AtMost(int max, int count, absl::string_view what) {
  if (count <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(count, " ", what, "; at most ", max, " are taken"));
}

}  // namespace

absl::StatusOr<v1::CanSend> CanSendOf(const std::string& bus, const v1::CanSendRequest& request) {
  if (absl::Status few = AtMost(kMaxFramesPerSend, request.frames_size(), "frames"); !few.ok()) return few;
  CanColumns frames;
  for (int i = 0; i < request.frames_size(); ++i) {
    const absl::StatusOr<CanFrame> frame = ParseCanFrameText(request.frames(i));
    if (!frame.ok()) return absl::InvalidArgumentError(absl::StrCat("frame ", i + 1, ": ", frame.status().message()));
    frames.Add(*frame);
  }
  v1::CanSend send;
  send.set_bus(bus);
  *send.mutable_frames() = frames.Take();
  send.set_by(request.by());
  return send;
}

absl::StatusOr<v1::CanTap> CanTapOf(const std::string& bus, const v1::CanTapRequest& request) {
  if (absl::Status few = AtMost(kMaxTapFilters, request.filters_size(), "filters"); !few.ok()) return few;
  v1::CanTap tap;
  for (int i = 0; i < request.filters_size(); ++i) {
    const absl::StatusOr<v1::CanFilter> filter = ParseCanFilter(request.filters(i));
    if (!filter.ok())
      return absl::InvalidArgumentError(absl::StrCat("filter ", i + 1, ": ", filter.status().message()));
    *tap.add_filters() = *filter;
  }
  tap.set_bus(bus);
  tap.set_duration_ms(request.for_ms() == 0 ? kDefaultTapMs : request.for_ms());
  tap.set_sent_too(request.sent_too());
  tap.set_by(request.by());
  return tap;
}

std::string Summary(const v1::CanSend& send) {
  std::string text = "send ";
  const size_t begin = text.size();
  const absl::Status valid = ForEachFrame(send.frames(), [&](const CanFrame& frame) {
    if (text.size() == begin) AppendCanFrameText(frame, text);
  });
  if (!valid.ok() || text.size() == begin) absl::StrAppend(&text, "nothing valid");
  if (const int more = send.frames().id_size() - 1; more > 0) absl::StrAppend(&text, " and ", more, " more");
  return absl::StrCat(text, " to ", send.bus());
}

std::string Summary(const v1::CanTap& tap) {
  std::string text = absl::StrCat("tap ", tap.bus());
  for (const v1::CanFilter& filter : tap.filters()) absl::StrAppend(&text, " ", CanFilterText(filter));
  absl::StrAppend(&text, " for ", absl::FormatDuration(absl::Milliseconds(tap.duration_ms())));
  return tap.sent_too() ? text + ", sent ones too" : text;
}

std::string Summary(const v1::ClearDtcs& clear) {
  return absl::StrCat("clear trouble codes on ", clear.bus());
}

}  // namespace fleet::server
