// Which numbers of a stream were given up, in few ranges.
#pragma once

#include <cstddef>
#include <vector>

#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

inline constexpr size_t kMaxDroppedRanges = 64;

// Adds `range`, none of whose numbers was added before, to `ranges`, which stay in order. What touches becomes one.
// Over kMaxDroppedRanges the two with the smallest gap become one, of the same reason if there are such: then the gap
// counts as dropped too, until the server says that it has it.
void AddDropped(std::vector<v1::DroppedRange>& ranges, const v1::DroppedRange& range);

}  // namespace fleet::device
