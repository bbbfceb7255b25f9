// How long things take on a serial line, and how long it has to be silent before something is said on it (Modbus over
// serial line V1.02, section 2.5.1.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet::device {

// When the next request may go out. Pure.
//   After a good answer: 3.5 characters later. After anything else that was heard: kSettled later, because an adapter
//   may hold bytes back for so long. A unit that did not answer in time may still do, and nothing in its answer says
//   what it answers: it is not asked again until its time has passed once more or it was heard, others are.
class SerialTiming {
 public:
  static constexpr absl::Duration kSettled = absl::Milliseconds(20);      // an FTDI adapter's latency timer is 16 ms
  static constexpr absl::Duration kTurnaround = absl::Milliseconds(100);  // units that do what a broadcast says

  // `baud` > 0.
  SerialTiming(int baud, bool has_parity, int stop_bits);

  absl::Duration TimeOf(size_t bytes) const { return static_cast<double>(bytes) * character_; }
  // When `unit` may be asked if nothing more is heard.
  MonoTime Due(uint8_t unit) const;

  void Answered(uint8_t unit, MonoTime now);
  void Silent(uint8_t unit, MonoTime now, absl::Duration timeout);  // it had so long
  void Broadcast(MonoTime now);                                     // has gone out
  void Noise(MonoTime now);                                         // something that nobody waits for
  void NoiseOf(uint8_t unit, MonoTime now);                         // likewise, and it was what `unit` owed

 private:
  const absl::Duration character_;
  const absl::Duration gap_;
  MonoTime quiet_at_;
  std::array<MonoTime, 256> late_until_{};  // by unit
};

}  // namespace fleet::device
