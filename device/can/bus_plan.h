// What is listened to, asked for and allowed on each CAN bus of this device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "device/can/frame_decoder.h"
#include "device/signals/signal_book.h"
#include "fleet/v1/common.pb.h"

namespace fleet::device {

// `index` is always that of CanPlan::signals.
struct PlannedPid {
  uint8_t pid = 0;  // one of ObdPids()
  size_t index = 0;
  absl::Duration period;  // between requests, over zero
};
struct PlannedObd {
  bool extended = false;  // 29-bit ids
  std::vector<PlannedPid> pids;
  absl::Duration dtc_period;  // zero: trouble codes are not asked for
};
struct PlannedSpn {
  uint32_t spn = 0;  // one of KnownSpns()
  size_t index = 0;
};
struct PlannedNode {
  uint8_t node = 0;  // 1 to 127
  absl::Duration silent_after;
  std::vector<size_t> signals;  // what its process data carries
};

struct BusPlan {
  std::string name;
  std::string interface;  // not looked at: OpenCanBus knows what there is
  uint32_t bitrate = 0;
  bool listen_only = false;
  double replay_speed = 1;
  bool replay_loop = false;

  std::vector<FrameDecoder::Choice> dbc;
  std::optional<PlannedObd> obd;
  bool j1939 = false;  // trouble codes from DM1
  std::vector<PlannedSpn> spns;
  std::vector<PlannedNode> canopen;

  absl::Duration max_tap;  // zero: no taps
  std::vector<v1::CanFilter> send_allow;
  double send_rate_hz = 0;
  std::string compat_base;  // one level of a topic; empty: no compatible tunnel
};

struct CanPlan {
  std::vector<BusPlan> buses;          // in the order of the configuration, at most kMaxCanBuses
  std::vector<SignalOptions> signals;  // likewise, at most kMaxCanSignals: of a SignalBook
};

inline constexpr size_t kMaxCanBuses = 16;
inline constexpr size_t kMaxCanSignals = 4096;

}  // namespace fleet::device
