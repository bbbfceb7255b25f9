// Hands to the link what a turn of the loop wants sent, in the order that matters: stops before everything, with the
// beat they may need; then beats, probes and receipts; then commands, which need the beats to be judged. Loop thread
// only.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/logging.h"
#include "common/mqtt_link.h"
#include "server/changes.h"
#include "server/dispatcher.h"
#include "server/fleet_state.h"

namespace fleet::server {

class Sender {
 public:
  explicit Sender(const Dispatcher& dispatcher) : dispatcher_(dispatcher) {}

  // A stop goes out twice: QoS 0 overtakes what the broker still has to deliver, QoS 1 arrives.
  void SendStops(MqttLink& link, FleetState& state, Changes& changes, Now now);
  // When the link refuses a command those behind it wait too, so that the order stays.
  void SendRest(MqttLink& link, FleetState& state, Changes& changes, Now now);

  uint64_t refused() const { return refused_; }  // live publications that the link did not take

 private:
  void PublishLive(MqttLink& link, std::vector<Publication>& publications, Now now);
  Publication FrameOf(const FleetState& state, CommandId id) const;

  const Dispatcher& dispatcher_;
  uint64_t refused_ = 0;
  LogLimit log_{absl::Seconds(10)};
};

}  // namespace fleet::server
