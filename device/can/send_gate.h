// What may be put on a bus by somebody who is not on this device.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "fleet/v1/common.pb.h"

namespace fleet::device {

struct SendOptions {
  std::vector<v1::CanFilter> allow;  // empty: nothing
  double rate_hz = 100;              // frames per second, over 0
  bool listen_only = false;
};

// "7DF,7E0:7F8,18DB33F1": ids, exact or under a mask, in hex; of 8 digits extended. kInvalidArgument: what is wrong.
absl::StatusOr<std::vector<v1::CanFilter>> ParseSendAllow(absl::string_view text);

// Judges frames by direction, id and rate, all of an order or none. What it refuses is a policy violation, and counted.
// Pure; loop thread only.
class SendGate {
 public:
  static constexpr double kBurst = 64;  // frames that may go at once after a while of silence: an order

  explicit SendGate(SendOptions options);

  // kPermissionDenied: direction or id, named; kResourceExhausted: too many for the rate now. Neither takes from the
  // rate.
  absl::Status Judge(const std::vector<CanFrame>& frames, MonoTime now);

  uint64_t passed() const { return passed_; }    // frames
  uint64_t refused() const { return refused_; }  // orders
 private:
  absl::Status Check(const std::vector<CanFrame>& frames) const;

  const SendOptions options_;
  double tokens_ = kBurst;
  MonoTime filled_;
  uint64_t passed_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace fleet::device
