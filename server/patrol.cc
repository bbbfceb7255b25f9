#include "server/patrol.h"

namespace fleet::server {

bool Patrol::Due(MonoTime now) {
  if (now < NextDue()) return false;
  next_ = now + period_;
  return true;
}

v1::Segment Patrol::SegmentFor(EntityId entity) {
  const auto id = static_cast<int32_t>(Number(entity) % 100);
  v1::Segment segment;
  segment.set_entity_id(Number(entity));
  segment.set_end_x_mm(1000 * id);
  segment.set_end_y_mm(1000);
  segment.set_start_speed_mm_s(500 + 50 * id);
  segment.set_end_speed_mm_s(300 + 30 * id);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  return segment;
}

}  // namespace fleet::server
