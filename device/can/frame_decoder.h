// From the frames of one bus to the values of its signals.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/can/can_frame.h"
#include "device/can/dbc.h"

namespace fleet::device {

// Compiled once from what was chosen of the DBC files; a frame that nobody wants costs one look into a table.
//
// Of a J1939 message (DbcMessage::j1939) the PGN counts, not the priority, nor the destination where the PGN has one;
// nor the source if it is FE, the address of nobody, as J1939 DBC files have it. What its sender marks as an error or
// as not available is NaN.
//
// Loop thread only. Bounded by what was chosen. Under 10 ns per signal: tests/bench/decode_bench.cc.
class FrameDecoder {
 public:
  // One signal on its way: what is needed of its message, copied, so that the file need not outlive it.
  struct Choice {
    uint32_t id = 0;
    bool extended = false;
    bool j1939 = false;
    std::vector<DbcSignal> path;  // the multiplexers that lead to the signal, outermost first, then the signal
    size_t index = 0;             // what the visitor is told
  };

  // `signal` belongs to `message`, as ParseDbc made them. kInvalidArgument: no single frame carries it.
  static absl::StatusOr<Choice> Choose(const DbcMessage& message, const DbcSignal& signal, size_t index);

  explicit FrameDecoder(const std::vector<Choice>& choices);

  // Calls visitor(size_t index, double value) for each chosen signal that the frame carries, scaled. A signal that the
  // frame is too short for is not visited. Error frames and remote requests carry nothing. A float may be any, also
  // NaN or infinite.
  template <typename Visitor>
  void Decode(const CanFrame& frame, Visitor&& visitor);

  uint64_t short_frames() const { return short_frames_; }  // had less data than a signal needs that was chosen

 private:
  // How to cut a signal out of a frame: load 64 bits, swap the bytes if big-endian, shift up until its highest bit is
  // the highest, then down until its lowest is the lowest.
  struct Field {
    uint8_t load_at = 0;  // first byte; a load stays within CanFrame::data
    uint8_t end = 0;      // bytes that a frame has at least, to carry it
    uint8_t up = 0;
    uint8_t down = 0;
    uint8_t spill = 0;  // not 0: it has bits in a ninth byte too, so many places lower than `up` can bring them
    bool little_endian = true;
    bool is_signed = false;
    DbcSignal::Kind kind = DbcSignal::Kind::kInteger;
    bool operator==(const Field&) const = default;
  };
  struct Output {
    Field field;
    uint64_t last_valid = 0;  // as an integer
    double factor = 1;
    double offset = 0;
    size_t index = 0;
  };
  struct Case {  // of a multiplexer's values
    uint64_t first = 0;
    uint64_t last = 0;
    size_t node = 0;
  };
  struct Switch {
    Field field;
    std::vector<Case> cases;  // in rising order of `first`
  };
  // The root of a message has the signals that are always there; its switches lead to those that are not.
  struct Node {
    std::vector<Output> outputs;
    std::vector<Switch> switches;
    std::vector<DbcMux::Range> ranges;  // that lead here, if it is no root
  };

  static Field FieldOf(const DbcSignal& signal);
  static uint64_t Cut(const Field& field, const uint8_t* data);
  static double Value(const Output& output, const uint8_t* data);
  size_t Root(const Choice& choice);
  size_t Branch(size_t node, const DbcSignal& multiplexer, const DbcMux& mux);

  template <typename Visitor>
  void Visit(const Node& node, const CanFrame& frame, Visitor& visitor, bool& too_short) const;
  template <typename Visitor>
  void VisitRoot(uint32_t root, const CanFrame& frame, Visitor& visitor);
  template <typename Visitor>
  void VisitExtended(uint32_t key, const CanFrame& frame, Visitor& visitor);

  // Keys of extended_: an id, or a PGN and a source.
  static constexpr uint32_t kAnySource = 0xFE;
  static uint32_t PgnKey(uint32_t id, uint32_t source);

  // Roots are indices of nodes_; 0 is a node of nothing.
  std::vector<Node> nodes_;
  std::array<uint32_t, kMaxStandardCanId + 1> standard_{};
  absl::flat_hash_map<uint32_t, uint32_t> extended_;
  bool has_j1939_ = false;
  uint64_t short_frames_ = 0;
};

inline uint64_t FrameDecoder::Cut(const Field& field, const uint8_t* data) {
  const uint8_t* at = data + field.load_at;
  uint64_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  if (field.little_endian != (std::endian::native == std::endian::little)) bits = __builtin_bswap64(bits);
  if (field.spill == 0) {
    bits <<= field.up;
  } else if (field.little_endian) {
    bits = (bits >> field.spill | uint64_t{at[8]} << (64 - field.spill)) << field.down;
  } else {
    bits = bits << field.up | at[8] >> field.spill;
  }
  return field.is_signed ? static_cast<uint64_t>(static_cast<int64_t>(bits) >> field.down) : bits >> field.down;
}

inline double FrameDecoder::Value(const Output& output, const uint8_t* data) {
  const uint64_t bits = Cut(output.field, data);
  if (bits > output.last_valid) return std::numeric_limits<double>::quiet_NaN();
  double raw = 0;
  switch (output.field.kind) {
    case DbcSignal::Kind::kInteger:
      raw = output.field.is_signed ? static_cast<double>(static_cast<int64_t>(bits)) : static_cast<double>(bits);
      break;
    case DbcSignal::Kind::kFloat32:
      raw = std::bit_cast<float>(static_cast<uint32_t>(bits));
      break;
    case DbcSignal::Kind::kFloat64:
      raw = std::bit_cast<double>(bits);
      break;
  }
  return raw * output.factor + output.offset;
}

inline uint32_t FrameDecoder::PgnKey(uint32_t id, uint32_t source) {
  constexpr uint32_t kNoId = 0x80000000;
  const bool to_all = (id >> 16 & 0xFF) >= 240;  // else the second byte is a destination, and no part of the PGN
  return kNoId | (id & (to_all ? 0x3FFFF00 : 0x3FF0000)) | source;
}

template <typename Visitor>
void FrameDecoder::Visit(const Node& node, const CanFrame& frame, Visitor& visitor, bool& too_short) const {
  for (const Output& output : node.outputs) {
    if (output.field.end > frame.size) {
      too_short = true;
    } else {
      visitor(output.index, Value(output, frame.data.data()));
    }
  }
  for (const Switch& multiplexer : node.switches) {
    if (multiplexer.field.end > frame.size) {
      too_short = true;
      continue;
    }
    const uint64_t chosen = Cut(multiplexer.field, frame.data.data());
    for (const Case& one : multiplexer.cases) {
      if (one.first > chosen) break;
      if (chosen <= one.last) Visit(nodes_[one.node], frame, visitor, too_short);
    }
  }
}

template <typename Visitor>
void FrameDecoder::VisitRoot(uint32_t root, const CanFrame& frame, Visitor& visitor) {
  bool too_short = false;
  Visit(nodes_[root], frame, visitor, too_short);
  if (too_short) ++short_frames_;
}

template <typename Visitor>
void FrameDecoder::VisitExtended(uint32_t key, const CanFrame& frame, Visitor& visitor) {
  if (const auto found = extended_.find(key); found != extended_.end()) VisitRoot(found->second, frame, visitor);
}

template <typename Visitor>
void FrameDecoder::Decode(const CanFrame& frame, Visitor&& visitor) {
  if (frame.is(kCanRemote) || frame.is(kCanError)) return;
  if (!frame.is(kCanExtended)) {
    if (frame.id <= kMaxStandardCanId) VisitRoot(standard_[frame.id], frame, visitor);
    return;
  }
  VisitExtended(frame.id, frame, visitor);
  if (!has_j1939_) return;
  const uint32_t source = frame.id & 0xFF;
  VisitExtended(PgnKey(frame.id, kAnySource), frame, visitor);
  if (source != kAnySource) VisitExtended(PgnKey(frame.id, source), frame, visitor);
}

}  // namespace fleet::device
