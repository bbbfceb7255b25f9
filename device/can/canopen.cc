#include "device/can/canopen.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

// Function codes of the default connection set: an id without its node.
constexpr uint32_t kNode = 0x7F;
constexpr uint32_t kNmt = 0x000;
constexpr uint32_t kEmergency = 0x080;
constexpr uint32_t kHeartbeat = 0x700;
constexpr uint32_t kFirstTpdo = 0x180;
constexpr uint32_t kLastTpdo = 0x480;
constexpr uint32_t kTpdoStep = 0x100;

constexpr uint8_t kResetNode = 129;
constexpr uint8_t kResetCommunication = 130;
constexpr uint8_t kToggle = 0x80;  // of an answer to node guarding, which has the id and the states of a heartbeat
constexpr size_t kEmergencyBytes = 8;

MonoTime After(MonoTime now, absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? MonoTime::Max() : now + duration;
}

int64_t UnixMs(const CanFrame& frame) {
  return frame.at_unix_us / 1000;
}

}  // namespace

std::optional<uint8_t> CanOpenNodeOf(uint32_t can_id) {
  const uint32_t function = can_id & ~kNode;
  const uint8_t node = can_id & kNode;
  if (node == 0 || function < kFirstTpdo || function > kLastTpdo) return std::nullopt;
  if ((function - kFirstTpdo) % kTpdoStep != 0) return std::nullopt;
  return node;
}

CanOpenNodes::CanOpenNodes(CanOpenOptions options, SignalBook& signals, MonoTime now)
    : bus_name_(std::move(options.bus_name)), signals_(signals) {
  for (CanOpenNode& chosen : options.nodes) {
    FLEET_CHECK(chosen.node >= 1 && chosen.node <= kMaxCanOpenNode) << "CANopen node " << int{chosen.node};
    Node& node = nodes_[chosen.node];
    node.silent_after = chosen.silent_after;
    node.silent_at = After(now, chosen.silent_after);
    node.signals = std::move(chosen.signals);
    next_due_ = std::min(next_due_, node.silent_at);
  }
}

bool CanOpenNodes::Wants(const CanFrame& frame) {
  constexpr uint8_t kOthers = kCanExtended | kCanRemote | kCanFd | kCanError;
  if ((frame.flags & kOthers) != 0) return false;
  if (frame.id == kNmt) return true;
  const uint32_t function = frame.id & ~kNode;
  return (function == kEmergency || function == kHeartbeat) && (frame.id & kNode) != 0;
}

void CanOpenNodes::Hear(const CanFrame& frame, Now now, CanEffects& effects) {
  if (!Wants(frame)) return;
  const uint8_t number = frame.id & kNode;
  if (frame.id == kNmt) return HearNmt(frame, now.mono);
  if ((frame.id & ~kNode) == kHeartbeat) return HearHeartbeat(number, frame, now.mono, effects);
  HearEmergency(number, frame, now.mono, effects);
}

// The master of the bus commands one node, or all.
void CanOpenNodes::HearNmt(const CanFrame& frame, MonoTime now) {
  if (frame.size < 2 || frame.data[1] > kMaxCanOpenNode) {
    ++counters_.malformed;
    return;
  }
  if (frame.data[0] != kResetNode && frame.data[0] != kResetCommunication) return;
  const uint8_t number = frame.data[1];
  for (uint8_t i = 1; i <= kMaxCanOpenNode; ++i) {
    if (number == 0 || number == i) nodes_[i].reset_until = now + kResetTakes;
  }
}

void CanOpenNodes::HearHeartbeat(uint8_t number, const CanFrame& frame, MonoTime now, CanEffects& effects) {
  const auto state = frame.size == 1 ? ParseState(frame.data[0]) : std::nullopt;
  if (!state) {
    ++counters_.malformed;
    return;
  }
  Node& node = nodes_[number];
  node.silent_at = After(now, node.silent_after);
  next_due_ = std::min(next_due_, node.silent_at);
  node.state = *state;
  if (*state == State::kBootUp) {
    node.told = State::kUnknown;  // each is news: a node that starts again and again never gets further
    if (now >= node.reset_until) Invalidate(node, UnixMs(frame), now, effects);
    node.reset_until = {};
  }
  TellState(number, UnixMs(frame), now, effects);
}

void CanOpenNodes::HearEmergency(uint8_t number, const CanFrame& frame, MonoTime now, CanEffects& effects) {
  if (frame.size != kEmergencyBytes) {
    ++counters_.malformed;
    return;
  }
  if (!MayTell(nodes_[number], now)) return;
  const uint32_t code = frame.data[0] | frame.data[1] << 8;
  const absl::string_view more(reinterpret_cast<const char*>(frame.data.data()) + 3, kEmergencyBytes - 3);
  Tell(number, v1::EVENT_KIND_CANOPEN_EMCY,
       absl::StrCat("error ", absl::Hex(code, absl::kZeroPad4), " register ", absl::Hex(frame.data[2], absl::kZeroPad2),
                    " data ", absl::BytesToHexString(more)),
       UnixMs(frame), effects);
}

void CanOpenNodes::Tick(Now now, CanEffects& effects) {
  next_due_ = MonoTime::Max();
  for (uint8_t number = 1; number <= kMaxCanOpenNode; ++number) {
    Node& node = nodes_[number];
    if (node.silent_at <= now.mono) {
      node.silent_at = MonoTime::Max();
      node.state = State::kSilent;
      Invalidate(node, now.unix_ms(), now.mono, effects);
    }
    if (now.mono >= node.window_ends) TellState(number, now.unix_ms(), now.mono, effects);
    next_due_ = std::min({next_due_, node.silent_at, node.state == node.told ? MonoTime::Max() : node.window_ends});
  }
}

void CanOpenNodes::Invalidate(const Node& node, int64_t at_unix_ms, MonoTime now, CanEffects& effects) {
  for (const size_t signal : node.signals) signals_.Invalidate(signal, at_unix_ms, now, effects);
}

void CanOpenNodes::TellState(uint8_t number, int64_t at_unix_ms, MonoTime now, CanEffects& effects) {
  Node& node = nodes_[number];
  if (node.state == node.told) return;
  if (!MayTell(node, now)) {
    next_due_ = std::min(next_due_, node.window_ends);
    return;
  }
  node.told = node.state;
  Tell(number, v1::EVENT_KIND_CANOPEN_STATE, std::string(Word(node.state)), at_unix_ms, effects);
}

bool CanOpenNodes::MayTell(Node& node, MonoTime now) {
  if (now >= node.window_ends) {
    node.window_ends = now + kWindow;
    node.events = 0;
  }
  if (node.events == kMaxEvents) {
    ++counters_.events_over;
    return false;
  }
  ++node.events;
  return true;
}

void CanOpenNodes::Tell(uint8_t number, v1::EventKind kind, std::string detail, int64_t at_unix_ms,
                        CanEffects& effects) const {
  v1::Event& event = effects.events.emplace_back();
  event.set_kind(kind);
  event.set_at_unix_ms(at_unix_ms);
  event.set_name(absl::StrCat(bus_name_, " node ", number));
  event.set_detail(std::move(detail));
}

std::optional<CanOpenNodes::State> CanOpenNodes::ParseState(uint8_t byte) {
  switch (byte & ~kToggle) {
    case 0:
      if (byte == 0) return State::kBootUp;
      return std::nullopt;
    case 4:
      return State::kStopped;
    case 5:
      return State::kOperational;
    case 127:
      return State::kPreOperational;
    default:
      return std::nullopt;
  }
}

absl::string_view CanOpenNodes::Word(State state) {
  switch (state) {
    case State::kUnknown:
      return "unknown";
    case State::kBootUp:
      return "boot_up";
    case State::kStopped:
      return "stopped";
    case State::kOperational:
      return "operational";
    case State::kPreOperational:
      return "pre_operational";
    case State::kSilent:
      return "silent";
  }
  return "";
}

}  // namespace fleet::device
