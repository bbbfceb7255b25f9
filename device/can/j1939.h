// J1939: who says what in an id of 29 bits, and the values that we know by their number (SPN).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "device/can/can_effects.h"
#include "device/can/dtc_book.h"
#include "device/can/j1939_transport.h"
#include "device/signals/signal_book.h"

namespace fleet::device {

// A value whose place is published: `size_bits` from `start_bit` of a little-endian payload.
struct Spn {
  uint32_t number;
  absl::string_view name;
  uint32_t pgn;
  uint8_t start_bit;  // from 0; the standard counts bytes and bits from 1
  uint8_t size_bits;  // 2, 8, 16 or 32
  double factor;
  double offset;
  absl::string_view unit;
  uint32_t last_raw;  // above it: error, not available, or no meaning
};

// By number, ascending.
std::span<const Spn> KnownSpns();
const Spn* FindSpn(uint32_t number);  // null: not known

// NaN: the sender says that it has no value. Nothing: `data` is too short to hold it.
std::optional<double> DecodeSpn(const Spn& spn, std::span<const uint8_t> data);

struct J1939Choice {
  uint32_t spn = 0;               // of KnownSpns
  size_t index = 0;               // of the SignalBook
  std::optional<uint8_t> source;  // only from this address
};

struct J1939Options {
  size_t bus = 0;        // of CanWrite
  std::string bus_name;  // of trouble codes
  std::vector<J1939Choice> choices;
  bool dtcs = false;  // take trouble codes from DM1
};

// Listens to one bus: values go to the SignalBook, trouble codes and lamps (DM1) to the DtcBook.
//
// Where a choice names no source address, the first one with a value has it until it was silent for kSourceHold: two
// controllers that both send a parameter group do not alternate.
//
// Loop thread only. Costs one lookup for a frame that nobody chose.
class J1939Reader {
 public:
  static constexpr absl::Duration kSourceHold = absl::Seconds(10);
  // The address that we ask from: off-board diagnostic tool 1. It is not claimed; nobody answers to it.
  static constexpr uint8_t kOwnAddress = 0xF9;

  // The books outlive it.
  J1939Reader(J1939Options options, SignalBook& signals, DtcBook& dtcs);

  // Is there anything in such a frame for us? Hear asks itself.
  bool Wants(const CanFrame& frame) const;
  void Hear(const CanFrame& frame, Now now, CanEffects& effects);

  // Asks all controllers to forget their trouble codes (DM11 to the global address, which nobody acknowledges: that
  // they did shows in their DM1). What became of the frame is told for `token`.
  void Clear(uint64_t token, CanEffects& effects) const;

  struct Counters {
    uint64_t values = 0;
    uint64_t short_frames = 0;  // too short for a chosen value
    uint64_t bad_dm1 = 0;       // of a length that a list of trouble codes cannot have
  };
  const Counters& counters() const { return counters_; }
  const J1939Transport& transport() const { return transport_; }

 private:
  struct Listener {
    const Spn* spn;
    size_t index;
    std::optional<uint8_t> fixed;   // the configuration says so
    std::optional<uint8_t> source;  // who has it
    MonoTime heard;                 // from `source`
  };

  void HearValue(Listener& listener, uint8_t source, const CanFrame& frame, MonoTime now, CanEffects& effects);
  void HearDm1(uint8_t source, std::span<const uint8_t> data, Now now, CanEffects& effects);

  const size_t bus_;
  const std::string bus_name_;
  const bool with_dtcs_;
  SignalBook& signals_;
  DtcBook& dtcs_;
  absl::flat_hash_map<uint32_t, std::vector<Listener>> listeners_;  // by PGN
  J1939Transport transport_;
  Counters counters_;
};

}  // namespace fleet::device
