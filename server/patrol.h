// Sends every entity a segment again and again, so that a new fleet shows life. Off unless configured.
#pragma once

#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/common.pb.h"

namespace fleet::server {

class Patrol {
 public:
  // `period` zero: off.
  explicit Patrol(absl::Duration period) : period_(period) {}

  // True once per period.
  bool Due(MonoTime now);
  MonoTime NextDue() const { return period_ > absl::ZeroDuration() ? next_ : MonoTime::Max(); }
  absl::Duration ttl() const { return period_; }

  // From (0, 0) to (1000 id, 1000), from 500 + 50 id down to 300 + 30 id mm/s, as the first such fleet did; the id
  // modulo 100, so that no id drives an entity off the map.
  static v1::Segment SegmentFor(EntityId entity);

 private:
  const absl::Duration period_;
  MonoTime next_;
};

}  // namespace fleet::server
