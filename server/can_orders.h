// What an order to a CAN bus must be before it becomes a command. Whether the bus exists, whether these ids may be sent
// and for how long it may be tapped is for the device to say.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::server {

inline constexpr int kMaxFramesPerSend = 64;
inline constexpr int kMaxTapFilters = 16;
inline constexpr absl::Duration kMaxTap = absl::Hours(24);  // a device allows this or less

// kInvalidArgument, with what is wrong: the name of the bus; no frame, too many or one that cannot be sent; a filter
// beyond its format, or too many; a time that no device allows; `by` as CheckBy says.
absl::Status Check(const v1::CanSend& send);
absl::Status Check(const v1::CanTap& tap);
absl::Status Check(const v1::ClearDtcs& clear);

}  // namespace fleet::server
