// Where an entity is and how fast it moves.
#pragma once

#include <cstdint>

namespace fleet::device {

struct Pose {
  int32_t x_mm = 0;
  int32_t y_mm = 0;
  int32_t angle_mdeg = 0;  // counter-clockwise from the x axis
  int32_t vx_mm_s = 0;
  int32_t vy_mm_s = 0;

  friend bool operator==(const Pose&, const Pose&) = default;
};

}  // namespace fleet::device
