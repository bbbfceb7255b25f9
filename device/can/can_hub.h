// All that this device makes of its CAN buses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/can/can_port.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/mqtt_link.h"
#include "device/can/bus_plan.h"
#include "device/can/can_command.h"
#include "device/can/can_effects.h"
#include "device/can/dtc_book.h"
#include "device/signals/signal_book.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {

class CanHubBus;

// Every frame goes once through each part that its bus has:
//
//   bus --> FrameDecoder, ObdPoller, J1939Reader --> SignalBook --> plain text, samples
//       |                      '--> DtcBook, CanOpenNodes --> events, plain text
//       '--> CanTaps, CompatTunnel --> live messages
//   commands, CompatTunnel --> SendGate --> bus
//
// Loop thread only, pure; bounded by its parts and by the commands that the gate lets through.
class CanHub {
 public:
  static constexpr absl::Duration kEventPause = absl::Seconds(10);   // between two events of a kind from one bus
  static constexpr int kEventBurst = 6;                              // that a bus goes or comes may be told at once
  static constexpr absl::Duration kOpeningTakes = absl::Seconds(2);  // after the start, before a bus counts as down

  // `buses` of the plan are known by their index everywhere.
  CanHub(const DeviceId& device, uint32_t epoch, CanPlan plan, MonoTime now);
  ~CanHub();

  std::vector<Subscription> Subscriptions() const;
  bool Owns(absl::string_view topic) const;  // a message of the compatible tunnel

  void Hear(size_t bus, const CanNews& news, Now now, CanEffects& effects);
  // Precondition: it owns the topic.
  void Arrive(const Arrived& arrived, Now now, CanEffects& effects);
  void SetLinkUp(bool up);
  // The plain texts that may be long without another, again: after a connect, and when the link did not take one.
  void Resume(CanEffects& effects);
  // Before a clean stop: ends the taps.
  void Stop(CanEffects& effects);
  void Tick(Now now, CanEffects& effects);
  MonoTime NextDue() const;  // may be too early

  // Commands with a body for a bus. kNotFound: no such bus; kInvalidArgument: frames, filters or times that cannot be;
  // kPermissionDenied, kResourceExhausted: not allowed on this bus, or too much for now. What may be sent is taken from
  // the rate.
  absl::Status Judge(const v1::Command& command, MonoTime now);
  // One that was judged. Its steps come as updates, from now on.
  void Run(const CanCommand& command, MonoTime now, CanEffects& effects);
  // False: it does not run here, or cannot be taken back any more.
  bool Cancel(CommandId command, CanEffects& effects);

  size_t size() const { return buses_.size(); }
  const CanHubBus& bus(size_t index) const { return *buses_[index]; }
  void AppendCurrent(std::vector<CurrentSignal>& out) const { signals_.AppendCurrent(out); }

  // Of commands and of the compatible tunnel.
  uint64_t policy_violations() const;
  // Messages of the compatible tunnel that were refused, for what they are or because they are not allowed.
  uint64_t refused_messages() const;

 private:
  CanHubBus* Find(absl::string_view bus) const;  // null: none

  SignalBook signals_;
  DtcBook dtcs_;
  std::vector<std::unique_ptr<CanHubBus>> buses_;
};

}  // namespace fleet::device
