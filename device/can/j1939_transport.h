// J1939 messages of more than 8 bytes: ids in parts, and what was sent in pieces put together (SAE J1939-21).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"

namespace fleet::device {

inline constexpr uint8_t kJ1939Global = 0xFF;  // destination: everybody

// The parts of a 29-bit id.
struct J1939Id {
  uint8_t priority = 6;  // 0 to 7, 0 first
  uint32_t pgn = 0;      // 18 bits; below PDU format 240 the low byte is 0
  uint8_t source = 0;
  uint8_t destination = kJ1939Global;  // of a PGN from PDU format 240 on always everybody
};
J1939Id ParseJ1939Id(uint32_t can_id);
uint32_t CanIdOf(const J1939Id& id);

inline constexpr uint32_t kPgnRequest = 59904;           // EA00
inline constexpr uint32_t kPgnTransportData = 60160;     // EB00
inline constexpr uint32_t kPgnTransportControl = 60416;  // EC00
inline constexpr uint32_t kPgnDm1 = 65226;               // FECA: active trouble codes
inline constexpr uint32_t kPgnDm11 = 65235;              // FED3: forget them

struct J1939Message {
  uint32_t pgn;
  uint8_t source;
  uint8_t destination;
  std::span<const uint8_t> data;  // 9 to 1785 bytes, until the next call of Hear
};

// Listens to broadcasts (BAM) and to directed sessions (RTS/CTS) of others; never takes part.
//
//   none --announcement--> open --every packet in its turn--> message
//                          open --wrong packet, abort, silence, new announcement--> none, counted
//
// Time is that of the frames: how late the loop is does not matter. Silence is noticed at the next frame of the
// session, or when its place is needed. Bounds: kMaxSessions, further ones are refused; one per pair of addresses. Loop
// thread only.
class J1939Transport {
 public:
  static constexpr size_t kMaxSessions = 32;
  static constexpr size_t kMaxBytes = 1785;                                     // 255 packets of 7
  static constexpr absl::Duration kBroadcastTimeout = absl::Milliseconds(750);  // T1
  static constexpr absl::Duration kDirectedTimeout = absl::Milliseconds(1250);  // T2, T3: the longest pause

  // Only these are put together.
  explicit J1939Transport(absl::flat_hash_set<uint32_t> pgns) : pgns_(std::move(pgns)) {}

  static bool Carries(uint32_t pgn) { return pgn == kPgnTransportControl || pgn == kPgnTransportData; }

  // `id` is that of `frame`, and Carries its PGN. A message when this was its last packet.
  std::optional<J1939Message> Hear(const J1939Id& id, const CanFrame& frame);

  struct Counters {
    uint64_t messages = 0;
    uint64_t malformed = 0;  // announcements that cannot be, packets that are too short
    uint64_t sequence = 0;   // sessions ended because a packet is out of turn, or was missed
    uint64_t timeouts = 0;   // by silence
    uint64_t aborted = 0;    // by one of its sides, or a new announcement
    uint64_t no_place = 0;   // sessions refused
  };
  const Counters& counters() const { return counters_; }
  size_t open() const { return sessions_.size(); }

 private:
  struct Session {
    uint8_t source;
    uint8_t destination;
    uint32_t pgn;
    int64_t heard_unix_us;
    uint8_t packets;  // in all
    uint8_t next;     // 1 to packets
    std::vector<uint8_t> data;
  };

  void HearControl(const J1939Id& id, const CanFrame& frame);
  std::optional<J1939Message> HearData(const J1939Id& id, const CanFrame& frame);
  void Open(const J1939Id& id, const CanFrame& frame);
  void HearClearToSend(Session& session, const CanFrame& frame);
  Session* Find(uint8_t source, uint8_t destination);
  void End(Session& session, uint64_t& why);
  void EndSilent(int64_t now_unix_us);

  const absl::flat_hash_set<uint32_t> pgns_;
  std::vector<Session> sessions_;
  std::vector<uint8_t> finished_;  // data of the message told last
  Counters counters_;
};

}  // namespace fleet::device
