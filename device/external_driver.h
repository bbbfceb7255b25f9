// An entity that a controller outside the agent moves.
#pragma once

#include <optional>

#include "device/entity_driver.h"

namespace fleet::device {

// Reports the pose that it was last fed, for kPoseLasts: a pose that nobody renews is not known any more and is left
// out, so that the server sees it grow old. Hands segments to whoever listens; with nobody listening a segment is
// refused as "no_controller", at once rather than at its expiry, so that the operator need not wait for the news. If
// the last listener goes while a segment runs, the executor decides (segment_executor.h); one that expires before a
// listener has it is ended by a SegmentEnded (controller_feed.h).
class ExternalDriver : public EntityDriver {
 public:
  static constexpr absl::Duration kPoseLasts = absl::Seconds(2);

  absl::StatusOr<MonoTime> Start(const SegmentOrder& order, MonoTime now, Effects& effects) override;
  void Stop(const SegmentOrder& order, MonoTime now, Effects& effects) override;
  std::optional<Pose> PoseAt(MonoTime now) const override;

  bool is_external() const override { return true; }
  void Feed(const Pose& pose, MonoTime now) override;
  void SetListening(bool listening) override { listening_ = listening; }

 private:
  bool listening_ = false;
  Pose pose_;
  MonoTime known_until_;  // the start of the clock: never fed
};

}  // namespace fleet::device
