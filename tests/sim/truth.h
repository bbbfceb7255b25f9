// What really happened in a simulated world, kept apart from what the server makes of it, and in the plainest way.
#pragma once

#include <cstdint>
#include <set>

#include "common/clock.h"

namespace fleet {

// The numbers of one stream that reached the server.
class StreamTruth {
 public:
  // The device itself said that it lives anew; also one that lost its start counter and begins with 1 again.
  void StartLife(uint32_t epoch);
  // True when it is new, and newer than all before it.
  bool Arrive(uint32_t epoch, uint32_t seq);

  uint64_t expected() const { return expected_; }  // from the first that ever arrived to the highest
  uint64_t stored() const { return stored_; }      // each once

 private:
  uint32_t epoch_ = 0;
  uint32_t first_ = 0;
  uint32_t highest_ = 0;
  uint64_t expected_ = 0;
  uint64_t stored_ = 0;
  std::set<uint32_t> arrived_;  // in this life
};

struct DeviceTruth {
  StreamTruth heartbeats;
  StreamTruth states;
  MonoTime last_heartbeat;      // that reached the server and was new
  MonoTime last_any_heartbeat;  // that reached the server
  int goodbyes = 0;             // said so far
  bool was_replaced = false;    // as the server saw it last: two devices with one id
};

// How well a device can know the server's time: as well as the fastest beat came through.
struct BeatTruth {
  uint32_t server_epoch = 0;
  MonoTime since;  // the first beat of this server epoch in this life of the device
  absl::Duration best_delay;
  MonoTime last;  // beat of any epoch, or the start of this life
};

struct CommandTruth {
  MonoTime expires;
  absl::Duration blur;  // how much later its device may take that to be, as it knew the server's time when it got it
  int starts = 0;
};

}  // namespace fleet
