// The server's clock, as seen from here.
#pragma once

#include <cstdint>
#include <optional>

#include "common/clock.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {

// Estimates the server's steady time on this machine's monotonic clock; wall clocks play no part, so they may jump.
//
// A beat that took long to arrive makes the server's clock look late, none can make it look early. So the true offset
// is the largest seen. It is replaced by a smaller one only when a difference in the rate of the two clocks may explain
// that: 1 ms per second, ten times what a bad crystal does. Between beats it stays as it is, on the side where a
// command looks old rather than fresh.
//
// The server's clock goes on over its restarts, unless it has lost its database or its host was booted with a wrong
// time. So with a new server epoch the estimate starts afresh, but for kSettle, ten beats, the older one stands in the
// way of looking fresh: the first beat of the new epoch may be one that was held back. Loop thread only.
class ServerTime {
 public:
  static constexpr absl::Duration kSettle = absl::Seconds(10);

  // False: nonsense, nothing changes.
  bool Hear(const v1::ServerBeat& beat, MonoTime now);

  // nullopt: no beat heard yet.
  std::optional<int64_t> NowMs(MonoTime now) const;

 private:
  int64_t OffsetMs(MonoTime now) const;

  std::optional<uint32_t> server_epoch_;
  int64_t offset_ms_ = 0;  // server time minus ours
  MonoTime measured_at_;
  int64_t earlier_offset_ms_ = 0;  // of the server epoch before
  MonoTime earlier_until_;         // it counts before that
};

}  // namespace fleet::device
