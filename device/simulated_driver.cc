#include "device/simulated_driver.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace fleet::device {
namespace {

using std::numbers::pi;

constexpr double kLongestSeconds = 1e9;  // 31 years: what is slower is not waited for, and no nanoseconds overflow

int32_t ToInt32(double value) {
  return static_cast<int32_t>(std::clamp(std::round(value), static_cast<double>(std::numeric_limits<int32_t>::min()),
                                         static_cast<double>(std::numeric_limits<int32_t>::max())));
}

// In (-180000, 180000].
int32_t ToMillidegrees(double rad) {
  const int32_t mdeg = ToInt32(std::remainder(rad, 2 * pi) * 180'000 / pi);
  return mdeg == -180'000 ? 180'000 : mdeg;
}

}  // namespace

SimulatedDriver::Path SimulatedDriver::Plan(const v1::Segment& segment, MonoTime now) {
  const double dx = static_cast<double>(segment.end_x_mm()) - segment.start_x_mm();
  const double dy = static_cast<double>(segment.end_y_mm()) - segment.start_y_mm();
  const double chord_mm = std::hypot(dx, dy);
  const bool is_arc = segment.type() != v1::SEGMENT_TYPE_LINE && chord_mm > 0;
  const double length_mm = is_arc ? chord_mm * pi / 2 : chord_mm;
  const double start_mm_s = segment.start_speed_mm_s();
  const double end_mm_s = segment.end_speed_mm_s();

  Path path{.started = now, .v0_mm_s = start_mm_s};
  path.seconds = 2 * length_mm / (start_mm_s + end_mm_s);
  path.acceleration_mm_s2 = length_mm > 0 ? (end_mm_s * end_mm_s - start_mm_s * start_mm_s) / (2 * length_mm) : 0;
  path.start_x_mm = segment.start_x_mm();
  path.start_y_mm = segment.start_y_mm();
  path.heading_rad = std::atan2(dy, dx);
  if (is_arc) {
    path.start_x_mm += dx / 2;
    path.start_y_mm += dy / 2;
    path.heading_rad += pi;
    path.radius_mm = chord_mm / 2;
    path.turn = segment.type() == v1::SEGMENT_TYPE_ARC_LEFT ? 1 : -1;
  }
  return path;
}

Pose SimulatedDriver::At(const Path& path, double seconds) {
  const double t = std::min(seconds, path.seconds);
  const double gone_mm = path.v0_mm_s * t + path.acceleration_mm_s2 * t * t / 2;
  const double speed_mm_s = path.v0_mm_s + path.acceleration_mm_s2 * t;
  double from_rad = path.heading_rad;
  double heading_rad = path.heading_rad;
  double reach_mm = gone_mm;
  if (path.radius_mm > 0) {
    from_rad += path.turn * gone_mm / path.radius_mm;
    heading_rad = from_rad + path.turn * pi / 2;
    reach_mm = path.radius_mm;
  }
  return {.x_mm = ToInt32(path.start_x_mm + reach_mm * std::cos(from_rad)),
          .y_mm = ToInt32(path.start_y_mm + reach_mm * std::sin(from_rad)),
          .angle_mdeg = ToMillidegrees(heading_rad),
          .vx_mm_s = ToInt32(speed_mm_s * std::cos(heading_rad)),
          .vy_mm_s = ToInt32(speed_mm_s * std::sin(heading_rad))};
}

absl::StatusOr<MonoTime> SimulatedDriver::Start(const SegmentOrder& order, MonoTime now, Effects&) {
  const v1::Segment& segment = order.segment;
  if (segment.type() == v1::SEGMENT_TYPE_HOLD) {
    path_.reset();
    rest_ = {.x_mm = segment.start_x_mm(), .y_mm = segment.start_y_mm(), .angle_mdeg = rest_.angle_mdeg};
    return MonoTime::Max();
  }
  path_ = Plan(segment, now);
  return path_->seconds < kLongestSeconds ? now + absl::Seconds(path_->seconds) : MonoTime::Max();
}

void SimulatedDriver::Stop(const SegmentOrder&, MonoTime now, Effects&) {
  rest_ = *PoseAt(now);
  rest_.vx_mm_s = rest_.vy_mm_s = 0;
  path_.reset();
}

std::optional<Pose> SimulatedDriver::PoseAt(MonoTime now) const {
  if (!path_) return rest_;
  return At(*path_, absl::ToDoubleSeconds(now - path_->started));
}

}  // namespace fleet::device
