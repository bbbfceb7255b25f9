// The domain as the HTTP API shows it (api.proto). Pure; loop thread only.
#pragma once

#include "fleet/v1/api.pb.h"
#include "server/fleet_state.h"

namespace fleet::server {

v1::DeviceView ViewOf(const Device& device, const LivenessStatus& liveness, Now now);
v1::LivenessView ViewOf(const LivenessRow& row, const Device& device);
// `device_id` because the command knows only the row of its device.
v1::CommandView ViewOf(const CommandRow& row, const std::vector<CommandStepRow>& steps, absl::string_view device_id);

// kInvalidArgument: a type that is none.
absl::StatusOr<v1::Segment> SegmentOf(const v1::SegmentRequest& request);

}  // namespace fleet::server
