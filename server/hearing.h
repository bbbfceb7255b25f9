// Says whether the server can hear: only then does a device's silence mean anything.
//
// The server may be deaf although its connection looks whole: the network swallows packets without an error, or the
// process was stopped for a while. So it sends itself a probe through the broker every 250 ms; when nothing at all has
// arrived for a second, or the loop itself slept for that long, it counts as deaf until the next message. A second is
// half of the silence after which a device is declared offline. Pure; loop thread only.
#pragma once

#include "common/clock.h"

namespace fleet::server {

class Hearing {
 public:
  static constexpr absl::Duration kProbePeriod = absl::Milliseconds(250);
  static constexpr absl::Duration kDeafAfter = absl::Seconds(1);

  void LinkUp(MonoTime now) {
    link_up_ = true;
    last_turn_ = now;
  }
  void LinkDown() { link_up_ = hears_ = false; }
  void Message(MonoTime now) {
    last_message_ = now;
    if (link_up_) hears_ = true;
  }
  // Once per turn, after the turn's messages.
  void Tick(MonoTime now) {
    if (now - last_turn_ > kDeafAfter || now - last_message_ > kDeafAfter) hears_ = false;
    last_turn_ = now;
  }

  bool hears() const { return hears_; }
  bool link_up() const { return link_up_; }

 private:
  bool link_up_ = false;
  bool hears_ = false;
  MonoTime last_message_;
  MonoTime last_turn_;
};

}  // namespace fleet::server
