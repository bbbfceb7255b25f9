#include "device/external_driver.h"

namespace fleet::device {

absl::StatusOr<MonoTime> ExternalDriver::Start(const SegmentOrder& order, MonoTime, Effects& effects) {
  if (!listening_) return absl::UnavailableError("no_controller");
  effects.controllers.push_back(SegmentStarted{order});
  return MonoTime::Max();
}

void ExternalDriver::Stop(const SegmentOrder& order, MonoTime, Effects& effects) {
  effects.controllers.push_back(SegmentStopped{.command = order.command, .entity = order.entity});
}

void ExternalDriver::Feed(const Pose& pose, MonoTime now) {
  pose_ = pose;
  known_until_ = now + kPoseLasts;
}

std::optional<Pose> ExternalDriver::PoseAt(MonoTime now) const {
  if (now >= known_until_) return std::nullopt;
  return pose_;
}

}  // namespace fleet::device
