// An entity that exists only here.
#pragma once

#include <optional>

#include "device/entity_driver.h"

namespace fleet::device {

// Moves along its segments: from start to end speed with constant acceleration over the length of the path, which is a
// straight line or a half circle over the chord. Afterwards, and before the first, it stands where it is.
class SimulatedDriver : public EntityDriver {
 public:
  explicit SimulatedDriver(Pose start = {}) : rest_(start) {}

  absl::StatusOr<MonoTime> Start(const SegmentOrder& order, MonoTime now, Effects& effects) override;
  void Stop(const SegmentOrder& order, MonoTime now, Effects& effects) override;
  std::optional<Pose> PoseAt(MonoTime now) const override;

 private:
  // A segment, worked out once: s(t) = v0 t + a t^2 / 2 for t in 0..seconds.
  struct Path {
    MonoTime started;
    double seconds = 0;
    double v0_mm_s = 0;
    double acceleration_mm_s2 = 0;
    double start_x_mm = 0;  // line: the start; arc: the centre
    double start_y_mm = 0;
    double heading_rad = 0;  // line: the direction; arc: from the centre to the start
    double radius_mm = 0;    // 0 for a line
    double turn = 0;         // 1 left, -1 right
  };

  static Path Plan(const v1::Segment& segment, MonoTime now);
  static Pose At(const Path& path, double seconds);

  Pose rest_;
  std::optional<Path> path_;
};

}  // namespace fleet::device
