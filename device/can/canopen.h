// CANopen nodes as they show themselves: heartbeat (0x700 + node) and emergency (0x080 + node). CiA 301.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "device/can/can_effects.h"
#include "device/signals/signal_book.h"

namespace fleet::device {

inline constexpr uint8_t kMaxCanOpenNode = 127;

struct CanOpenNode {
  uint8_t node = 0;  // 1 to 127
  absl::Duration silent_after = absl::InfiniteDuration();
  std::vector<size_t> signals;  // of the SignalBook: what it sends
};
struct CanOpenOptions {
  std::string bus_name;
  std::vector<CanOpenNode> nodes;  // watched; others are noticed when they speak
};

// The node that sends an 11-bit id by CANopen's default connection set: process data 0x181-0x1FF, 0x281-, 0x381- and
// 0x481-0x4FF. Nothing for other ids.
std::optional<uint8_t> CanOpenNodeOf(uint32_t can_id);

// Says what state each node is in, and its emergencies, as events.
//   unknown, silent --heartbeat--> boot_up | stopped | operational | pre_operational --silent_after--> silent
// A watched node that is never heard is silent too. Silence, and a boot-up that no NMT reset on the bus announced
// within kResetTakes, make the signals of the node invalid.
//
// Loop thread only, O(1) per frame. Bounds: kMaxEvents events per node and kWindow; what is over is counted, but the
// newest state is always told in the end.
class CanOpenNodes {
 public:
  static constexpr absl::Duration kResetTakes = absl::Seconds(10);
  static constexpr int kMaxEvents = 8;
  static constexpr absl::Duration kWindow = absl::Seconds(1);

  // `signals` outlives it. Silence counts from `now`.
  CanOpenNodes(CanOpenOptions options, SignalBook& signals, MonoTime now);

  // Is such a frame heartbeat, emergency or NMT command? Hear asks itself.
  static bool Wants(const CanFrame& frame);
  void Hear(const CanFrame& frame, Now now, CanEffects& effects);
  void Tick(Now now, CanEffects& effects);
  MonoTime NextDue() const { return next_due_; }  // never too late, at times too early

  // As in events; "unknown" of a node that was never heard. `node`: at most kMaxCanOpenNode.
  absl::string_view state(uint8_t node) const { return Word(nodes_[node].state); }

  struct Counters {
    uint64_t malformed = 0;    // heartbeats and emergencies that cannot be
    uint64_t events_over = 0;  // not told, because a node had too much to say
  };
  const Counters& counters() const { return counters_; }

 private:
  enum class State : uint8_t { kUnknown, kBootUp, kStopped, kOperational, kPreOperational, kSilent };
  struct Node {
    State state = State::kUnknown;
    State told = State::kUnknown;
    absl::Duration silent_after = absl::InfiniteDuration();
    MonoTime silent_at = MonoTime::Max();
    MonoTime reset_until{};  // boot-ups until then are expected
    MonoTime window_ends{};
    int events = 0;  // in the window
    std::vector<size_t> signals;
  };

  static std::optional<State> ParseState(uint8_t byte);
  static absl::string_view Word(State state);
  void HearNmt(const CanFrame& frame, MonoTime now);
  void HearHeartbeat(uint8_t number, const CanFrame& frame, MonoTime now, CanEffects& effects);
  void HearEmergency(uint8_t number, const CanFrame& frame, MonoTime now, CanEffects& effects);
  void Invalidate(const Node& node, int64_t at_unix_ms, MonoTime now, CanEffects& effects);
  void TellState(uint8_t number, int64_t at_unix_ms, MonoTime now, CanEffects& effects);
  bool MayTell(Node& node, MonoTime now);
  void Tell(uint8_t number, v1::EventKind kind, std::string detail, int64_t at_unix_ms, CanEffects& effects) const;

  const std::string bus_name_;
  SignalBook& signals_;
  std::array<Node, kMaxCanOpenNode + 1> nodes_;  // by number
  MonoTime next_due_ = MonoTime::Max();
  Counters counters_;
};

}  // namespace fleet::device
