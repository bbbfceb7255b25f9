// Orders to a CAN bus as the HTTP API has them (api.proto). Pure; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::server {

// kInvalidArgument: which frame or filter cannot be read, or too many of them.
absl::StatusOr<v1::CanSend> CanSendOf(const std::string& bus, const v1::CanSendRequest& request);
absl::StatusOr<v1::CanTap> CanTapOf(const std::string& bus, const v1::CanTapRequest& request);

// "send 123#1122 and 3 more to can0", "tap can0 123:7FF for 10m", "clear trouble codes on can0".
std::string Summary(const v1::CanSend& send);
std::string Summary(const v1::CanTap& tap);
std::string Summary(const v1::ClearDtcs& clear);

}  // namespace fleet::server
