// One bus of the hub: its parts, and the commands that run on it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/can/can_port.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/can/bus_plan.h"
#include "device/can/can_command.h"
#include "device/can/can_effects.h"
#include "device/can/can_taps.h"
#include "device/can/canopen.h"
#include "device/can/compat_tunnel.h"
#include "device/can/dtc_book.h"
#include "device/can/frame_decoder.h"
#include "device/can/j1939.h"
#include "device/can/obd_poller.h"
#include "device/can/send_gate.h"
#include "device/signals/signal_book.h"

namespace fleet::device {

// What all buses share.
struct CanHubBooks {
  SignalBook& signals;
  DtcBook& dtcs;
};

// See CanHub, which has one for each bus and hands it what concerns it. Loop thread only, pure.
class CanHubBus {
 public:
  // `index`: of the plan, for CanWrite. The books outlive it.
  CanHubBus(const DeviceId& device, uint32_t epoch, size_t index, const BusPlan& plan, CanHubBooks books, MonoTime now);

  const std::string& name() const { return name_; }
  const CompatTunnel* compat() const { return compat_ ? &*compat_ : nullptr; }

  // What is known of it, for people; null: it has no such part.
  const CanBusReport& report() const { return report_; }
  uint64_t frames() const { return frames_; }     // heard, error frames included
  uint64_t lost() const { return counts_.lost; }  // that nobody here has seen
  const FrameDecoder& decoder() const { return decoder_; }
  const ObdPoller* obd() const { return obd_ ? &*obd_ : nullptr; }
  const J1939Reader* j1939() const { return j1939_ ? &*j1939_ : nullptr; }
  const CanOpenNodes* canopen() const { return canopen_ ? &*canopen_ : nullptr; }

  void SetLinkUp(bool up) { taps_.SetLinkUp(up); }
  void Stop(CanEffects& effects);  // as CanHub
  void Hear(const CanNews& news, Now now, CanEffects& effects);
  void Arrive(const Arrived& arrived, Now now, CanEffects& effects);
  void Tick(Now now, CanEffects& effects);
  MonoTime NextDue() const;

  absl::Status Judge(const v1::CanSend& send, MonoTime now);
  absl::Status Judge(const v1::CanTap& tap, MonoTime now);
  absl::Status Judge(const v1::ClearDtcs& clear, MonoTime now);
  // What is in `command` was judged; `body` is of it.
  void Run(const CanCommand& command, const v1::CanSend& body, MonoTime now, CanEffects& effects);
  void Run(const CanCommand& command, const v1::CanTap& body, MonoTime now, CanEffects& effects);
  void Run(const CanCommand& command, const v1::ClearDtcs& body, MonoTime now, CanEffects& effects);
  bool Cancel(CommandId command, CanEffects& effects);  // as CanHub

  uint64_t policy_violations() const { return gate_.refused() + refused_others_; }
  uint64_t refused_messages() const;

 private:
  // What an order of frames was for.
  struct Job {
    bool clears = false;  // DM11; else a CanSend
    std::string by;
  };

  void HearReport(const CanNews& news, Now now);
  // Changes of the bus and what it lost, each at a limited rate.
  void TellState(MonoTime now, CanEffects& effects);
  void TellCounts(MonoTime now, CanEffects& effects);
  void Decode(const CanFrame& frame, Now now, CanEffects& effects);
  void HearOutcome(const CanOutcome& outcome, Now now, CanEffects& effects);
  void TakeCleared(CanEffects& effects);
  void EndTaps(const std::vector<TapEnd>& ends, CanEffects& effects) const;
  void Tell(v1::EventKind kind, std::string detail, CanEffects& effects) const;
  ObdOut Out(CanEffects& effects) const { return {books_.signals, books_.dtcs, effects}; }

  const size_t index_;
  const std::string name_;
  const absl::Duration max_tap_;
  const bool listen_only_;
  const CanHubBooks books_;

  FrameDecoder decoder_;
  std::optional<ObdPoller> obd_;
  std::optional<J1939Reader> j1939_;
  std::optional<CanOpenNodes> canopen_;
  CanTaps taps_;
  SendGate gate_;
  std::optional<CompatTunnel> compat_;

  // What was heard of the bus last, and what was told of it.
  struct Counts {
    uint64_t lost = 0;    // frames that nobody here has seen
    uint64_t errors = 0;  // error frames, and what was no frame
    uint64_t bus_off = 0;
    bool operator==(const Counts&) const = default;
  };
  CanBusReport report_;
  uint64_t frames_ = 0;
  bool is_up_ = true;  // as it was told
  MonoTime tell_state_at_ = MonoTime::Max();
  MonoTime state_due_;  // GCRA: kEventBurst changes may be ahead of it
  bool was_up_ = false;
  Counts counts_;
  Counts told_;
  MonoTime tell_counts_at_;
  std::map<uint64_t, Job> jobs_;   // by command, on the bus's thread
  uint64_t refused_others_ = 0;    // taps and clearings that are not allowed
  uint64_t refused_messages_ = 0;  // of the compatible tunnel, by the gate or the bus
};

}  // namespace fleet::device
