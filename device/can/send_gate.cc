#include "device/can/send_gate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/can/candump.h"
#include "common/status_macros.h"

namespace fleet::device {

absl::StatusOr<std::vector<v1::CanFilter>> ParseSendAllow(absl::string_view text) {
  std::vector<v1::CanFilter> allow;
  for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    ASSIGN_OR_RETURN(allow.emplace_back(), ParseCanFilter(absl::StripAsciiWhitespace(item)));
  }
  return allow;
}

SendGate::SendGate(SendOptions options) : options_(std::move(options)) {}

absl::Status SendGate::Judge(const std::vector<CanFrame>& frames, MonoTime now) {
  absl::Status status = Check(frames);
  if (status.ok()) {
    tokens_ = std::min(kBurst, tokens_ + options_.rate_hz * absl::ToDoubleSeconds(now - filled_));
    filled_ = now;
    if (static_cast<double>(frames.size()) > tokens_) {
      status = absl::ResourceExhaustedError(
          absl::StrCat(frames.size(), " frames are more than the ", options_.rate_hz, " per second that may be sent"));
    }
  }
  if (!status.ok()) {
    ++refused_;
    return status;
  }
  tokens_ -= static_cast<double>(frames.size());
  passed_ += frames.size();
  return absl::OkStatus();
}

absl::Status SendGate::Check(const std::vector<CanFrame>& frames) const {
  if (options_.listen_only) return absl::PermissionDeniedError("this bus is listened to only");
  for (const CanFrame& frame : frames) {
    const bool allowed = !frame.is(kCanError) && std::ranges::any_of(options_.allow, [&](const v1::CanFilter& filter) {
      return Passes(filter, frame);
    });
    if (allowed) continue;
    std::string text;
    AppendCanFrameText(frame, text);
    return absl::PermissionDeniedError(absl::StrCat(text, " is not on the list of what may be sent"));
  }
  return absl::OkStatus();
}

}  // namespace fleet::device
