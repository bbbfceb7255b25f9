// A segment that passed the command gate.
#pragma once

#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/common.pb.h"

namespace fleet::device {

struct SegmentOrder {
  CommandId command{};
  EntityId entity{};
  v1::Segment segment;  // checked: a known type and mode, speeds that end
  MonoTime expires_at;  // never started after it; a hold ends then
};

}  // namespace fleet::device
