// The native tunnel's way out: what is on a bus, for those who asked for it, while they may.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/can/can_columns.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/can/can_effects.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {

// A tap that is over.
struct TapEnd {
  CommandId command{};
  uint64_t frames = 0;  // that it passed on
  bool in_time = true;  // false: somebody took it back
};

// The taps of one bus. Each has a filter and a time, and makes batches of its own: of at most kMaxFrames, none older
// than kMaxAge, numbered so that a lost one shows. Frames pass it only while the link is up: there is nobody to keep
// them for.
//
// Pure; loop thread only. Bounds: kMaxTaps at once.
class CanTaps {
 public:
  static constexpr size_t kMaxTaps = 4;
  static constexpr int kMaxFrames = 64;
  static constexpr int kMaxUnderWay = 64;  // publications; 64 KiB, so that a heartbeat waits for no more than that
  static constexpr absl::Duration kMaxAge = absl::Milliseconds(7);  // 10 ms with what the port gathers

  // `bus`: its name.
  CanTaps(const DeviceId& device, absl::string_view bus, uint32_t epoch);

  // `tap` was checked. False: too many already.
  void SetLinkUp(bool up) { link_up_ = up; }
  bool Start(CommandId command, const v1::CanTap& tap, uint64_t dropped, MonoTime now, CanEffects& effects);
  // What it gathered goes out. nullopt: there is none such.
  std::optional<TapEnd> Stop(CommandId command, absl::string_view why, CanEffects& effects);
  std::vector<TapEnd> StopAll(absl::string_view why, CanEffects& effects);

  // Frames as they were on the bus, those with kCanSent included. `dropped`: what was lost before, since the beginning.
  void Offer(const std::vector<CanFrame>& frames, uint64_t dropped, MonoTime now, CanEffects& effects);
  // Sends what is old enough; `ended` gets those whose time is over.
  void Tick(MonoTime now, CanEffects& effects, std::vector<TapEnd>& ended);
  MonoTime NextDue() const;

  bool empty() const { return taps_.empty(); }

 private:
  struct Tap {
    CommandId command{};
    v1::CanTap asked;
    MonoTime until;
    uint64_t dropped_before = 0;  // by the bus
    uint64_t dropped = 0;         // by the bus since
    uint64_t unsent = 0;          // without a link
    uint64_t frames = 0;
    uint32_t seq = 0;
    CanColumns waiting;
    MonoTime oldest;  // of what waits
  };
  static bool Wants(const Tap& tap, const CanFrame& frame);
  void Send(Tap& tap, CanEffects& effects) const;

  const std::string bus_;
  const std::string topic_;
  const uint32_t epoch_;
  std::vector<Tap> taps_;
  bool link_up_ = true;
};

// "123:7FF 18FEF100" for people; "all" when there is none.
std::string FiltersText(const v1::CanTap& tap);

}  // namespace fleet::device
