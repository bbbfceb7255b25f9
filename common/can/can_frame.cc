#include "common/can/can_frame.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

constexpr uint8_t kAllFlags = kCanExtended | kCanRemote | kCanFd | kCanBrs | kCanEsi | kCanError | kCanSent;
constexpr uint8_t kFormatFlags = kCanExtended | kCanRemote | kCanFd | kCanBrs | kCanEsi;

absl::Status Invalid(absl::string_view why) {
  return absl::InvalidArgumentError(why);
}

absl::Status CheckFlags(const CanFrame& frame) {
  if ((frame.flags & ~kAllFlags) != 0) return Invalid(absl::StrCat("flags ", frame.flags, " mean nothing"));
  if (frame.is(kCanError) && (frame.flags & kFormatFlags) != 0) return Invalid("an error frame has no format");
  if (!frame.is(kCanFd) && (frame.flags & (kCanBrs | kCanEsi)) != 0)
    return Invalid("BRS and ESI are of FD frames only");
  if (frame.is(kCanFd) && frame.is(kCanRemote)) return Invalid("no FD frame is a remote frame");
  return absl::OkStatus();
}

}  // namespace

bool operator==(const CanFrame& a, const CanFrame& b) {
  return a.id == b.id && a.flags == b.flags && a.size == b.size && std::ranges::equal(a.bytes(), b.bytes());
}

bool IsCanSize(size_t size, bool fd) {
  if (size <= kMaxClassicCanBytes) return true;
  return fd && (size == 12 || size == 16 || size == 20 || size == 24 || size == 32 || size == 48 || size == 64);
}

absl::Status CheckCanFrame(const CanFrame& frame) {
  if (absl::Status flags = CheckFlags(frame); !flags.ok()) return flags;
  const bool long_id = frame.is(kCanExtended) || frame.is(kCanError);
  if (frame.id > (long_id ? kMaxExtendedCanId : kMaxStandardCanId)) {
    return Invalid(absl::StrCat("id ", absl::Hex(frame.id), " is above ", long_id ? "1fffffff" : "7ff"));
  }
  if (IsCanSize(frame.size, frame.is(kCanFd))) return absl::OkStatus();
  return Invalid(absl::StrCat(
      frame.size, " bytes, where ",
      frame.is(kCanFd) ? "an FD frame has 0 to 8, 12, 16, 20, 24, 32, 48 or 64" : "a frame that is not FD has 0 to 8"));
}

}  // namespace fleet
