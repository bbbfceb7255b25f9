// CAN frames on their way into and out of v1::CanFrames, which holds them in columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/can/can_frame.h"
#include "fleet/v1/common.pb.h"

namespace fleet {

// Keeps the columns and their size in bytes.
class CanColumns {
 public:
  bool empty() const { return size() == 0; }
  int size() const { return frames_.id_size(); }
  size_t bytes() const { return kHeadBytes + bytes_; }  // serialised; never too small, at most kHeadBytes too large

  // `frame` is valid (CheckCanFrame). No allocation of its own. A time before 1970 becomes 0.
  void Add(const CanFrame& frame);
  // What was added; empty again.
  v1::CanFrames Take();

 private:
  static constexpr size_t kHeadBytes = (1 + 10) + 5 * (1 + 5);  // the single field, and tag and length of the columns

  v1::CanFrames frames_;
  int64_t last_unix_us_ = 0;
  size_t bytes_ = 0;
};

// Hands every frame to `visit`, valid as by CheckCanFrame, in order. All is checked before the first call: kDataLoss,
// the columns do not fit each other; kInvalidArgument, a frame that cannot be or a time out of range.
absl::Status ForEachFrame(const v1::CanFrames& frames, absl::FunctionRef<void(const CanFrame&)> visit);

}  // namespace fleet
