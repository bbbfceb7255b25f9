#include "device/can/frame_decoder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

// J1939-71: FE in the highest byte of a number says "error", FF "not available". FB to FD are reserved, but some
// signals have a meaning for them: a gear of FB is the parking position.
uint64_t LastValid(bool j1939, const DbcSignal& signal) {
  const bool is_number =
      signal.size_bits == 8 || signal.size_bits == 16 || signal.size_bits == 24 || signal.size_bits == 32;
  if (!j1939 || !is_number || signal.is_signed || signal.kind != DbcSignal::Kind::kInteger) return UINT64_MAX;
  return (uint64_t{0xFE} << (signal.size_bits - 8)) - 1;
}

}  // namespace

absl::StatusOr<FrameDecoder::Choice> FrameDecoder::Choose(const DbcMessage& message, const DbcSignal& signal,
                                                          size_t index) {
  if (message.size > (message.j1939 ? kMaxClassicCanBytes : kMaxCanBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("message ", message.name, " has ", message.size,
                     " bytes, so it comes in several frames; only single ones are decoded"));
  }
  Choice choice{
      .id = message.id, .extended = message.extended, .j1939 = message.j1939, .path = {signal}, .index = index};
  while (choice.path.back().mux) choice.path.push_back(message.signals[choice.path.back().mux->multiplexer]);
  std::ranges::reverse(choice.path);
  return choice;
}

FrameDecoder::FrameDecoder(const std::vector<Choice>& choices) : nodes_(1) {
  for (const Choice& choice : choices) {
    size_t node = Root(choice);
    for (size_t i = 1; i < choice.path.size(); ++i) node = Branch(node, choice.path[i - 1], *choice.path[i].mux);
    const DbcSignal& signal = choice.path.back();
    nodes_[node].outputs.push_back({.field = FieldOf(signal),
                                    .last_valid = LastValid(choice.j1939, signal),
                                    .factor = signal.factor,
                                    .offset = signal.offset,
                                    .index = choice.index});
  }
}

size_t FrameDecoder::Root(const Choice& choice) {
  if (choice.extended && choice.j1939) has_j1939_ = true;
  uint32_t& root = !choice.extended ? standard_[choice.id & kMaxStandardCanId]
                                    : extended_[choice.j1939 ? PgnKey(choice.id, choice.id & 0xFF) : choice.id];
  if (root == 0) {
    root = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  }
  return root;
}

// The node of those values of the multiplexer, made if it is the first time.
size_t FrameDecoder::Branch(size_t node, const DbcSignal& multiplexer, const DbcMux& mux) {
  Field field = FieldOf(multiplexer);
  field.is_signed = false;  // the values in the file are those of the bits
  std::vector<Switch>& switches = nodes_[node].switches;
  auto found = std::ranges::find(switches, field, &Switch::field);
  if (found == switches.end()) found = switches.insert(found, Switch{.field = field, .cases = {}});
  for (const Case& one : found->cases) {
    if (nodes_[one.node].ranges == mux.ranges) return one.node;
  }
  const size_t made = nodes_.size();
  for (const DbcMux::Range& range : mux.ranges) {
    found->cases.push_back({.first = range.first, .last = range.last, .node = made});
  }
  std::ranges::sort(found->cases, {}, &Case::first);
  nodes_.push_back({.outputs = {}, .switches = {}, .ranges = mux.ranges});
  return made;
}

FrameDecoder::Field FrameDecoder::FieldOf(const DbcSignal& signal) {
  // Bits as they lie in the loaded word: little-endian from the lowest of byte 0 up, big-endian from its highest down.
  const size_t first = signal.little_endian ? signal.start_bit : signal.start_bit ^ 7;
  const size_t end_bit = first + signal.size_bits;
  FLEET_CHECK(end_bit <= kMaxCanBytes * 8) << signal.name << " is in no frame";
  const size_t load_at = std::min<size_t>(first / 8, kMaxCanBytes - 8);
  const size_t before = first - load_at * 8;
  const size_t unused = 64 - signal.size_bits;
  Field field;
  field.load_at = static_cast<uint8_t>(load_at);
  field.end = static_cast<uint8_t>((end_bit + 7) / 8);
  field.down = static_cast<uint8_t>(unused);
  field.little_endian = signal.little_endian;
  field.is_signed = signal.is_signed;
  field.kind = signal.kind;
  if (before > unused) {  // the ninth byte
    field.up = signal.little_endian ? 0 : static_cast<uint8_t>(before);
    field.spill = static_cast<uint8_t>(signal.little_endian ? before : 8 - before);
  } else {
    field.up = static_cast<uint8_t>(signal.little_endian ? unused - before : before);
  }
  return field;
}

}  // namespace fleet::device
