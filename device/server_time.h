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
// command looks old rather than fresh. A new server epoch starts afresh. Loop thread only.
class ServerTime {
 public:
  // False: nonsense, nothing changes.
  bool Hear(const v1::ServerBeat& beat, MonoTime now);

  // nullopt: no beat heard yet.
  std::optional<int64_t> NowMs(MonoTime now) const;

 private:
  std::optional<uint32_t> server_epoch_;
  int64_t offset_ms_ = 0;  // server time minus ours
  MonoTime measured_at_;
};

}  // namespace fleet::device
