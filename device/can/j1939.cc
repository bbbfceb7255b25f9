#include "device/can/j1939.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "common/status_macros.h"
#include "device/can/j1939_dm1.h"

namespace fleet::device {
namespace {

// J1939-71: above these a value of so many bytes says "error" or "not available", or is reserved.
constexpr uint32_t LastRaw(int bytes) {
  if (bytes == 1) return 0xFA;
  return bytes == 2 ? 0xFAFF : 0xFAFFFFFF;
}

// `byte` counts from 1.
constexpr Spn Value(uint32_t number, absl::string_view name, uint32_t pgn, int byte, int bytes, double factor,
                    double offset, absl::string_view unit) {
  return {number, name, pgn,           static_cast<uint8_t>(8 * (byte - 1)), static_cast<uint8_t>(8 * bytes), factor,
          offset, unit, LastRaw(bytes)};
}

// `byte` and `bit` count from 1. 0 off, 1 on; 2 says "error", 3 "not available".
constexpr Spn Switch(uint32_t number, absl::string_view name, uint32_t pgn, int byte, int bit) {
  return {number, name, pgn, static_cast<uint8_t>(8 * (byte - 1) + bit - 1), 2, 1, 0, "", 1};
}

// Negative is reverse; 251, which elsewhere has no meaning, is park.
constexpr Spn Gear(uint32_t number, absl::string_view name, int byte) {
  Spn spn = Value(number, name, 61445, byte, 1, 1, -125, "");
  spn.last_raw = 251;
  return spn;
}

// Places and scales are those of J1939-71; tests/vectors/README.md says what they were compared with.
constexpr std::array kSpns = {
    Value(51, "throttle position", 65266, 7, 1, 0.4, 0, "%"),
    Switch(70, "parking brake switch", 65265, 1, 3),
    Value(84, "wheel-based vehicle speed", 65265, 2, 2, 1 / 256.0, 0, "km/h"),
    Value(86, "cruise control set speed", 65265, 6, 1, 1, 0, "km/h"),
    Value(91, "accelerator pedal position", 61443, 2, 1, 0.4, 0, "%"),
    Value(92, "engine load at current speed", 61443, 3, 1, 1, 0, "%"),
    Value(94, "fuel delivery pressure", 65263, 1, 1, 4, 0, "kPa"),
    Value(96, "fuel level", 65276, 2, 1, 0.4, 0, "%"),
    Value(98, "engine oil level", 65263, 3, 1, 0.4, 0, "%"),
    Value(100, "engine oil pressure", 65263, 4, 1, 4, 0, "kPa"),
    Value(102, "boost pressure", 65270, 2, 1, 2, 0, "kPa"),
    Value(105, "intake manifold temperature", 65270, 3, 1, 1, -40, "degC"),
    Value(108, "barometric pressure", 65269, 1, 1, 0.5, 0, "kPa"),
    Value(109, "coolant pressure", 65263, 7, 1, 2, 0, "kPa"),
    Value(110, "coolant temperature", 65262, 1, 1, 1, -40, "degC"),
    Value(111, "coolant level", 65263, 8, 1, 0.4, 0, "%"),
    Value(114, "net battery current", 65271, 1, 1, 1, -125, "A"),
    Value(158, "battery potential, switched", 65271, 7, 2, 0.05, 0, "V"),
    Value(168, "battery potential", 65271, 5, 2, 0.05, 0, "V"),
    Value(171, "ambient air temperature", 65269, 4, 2, 0.03125, -273, "degC"),
    Value(172, "engine air intake temperature", 65269, 6, 1, 1, -40, "degC"),
    Value(173, "exhaust gas temperature", 65270, 6, 2, 0.03125, -273, "degC"),
    Value(174, "fuel temperature", 65262, 2, 1, 1, -40, "degC"),
    Value(175, "engine oil temperature", 65262, 3, 2, 0.03125, -273, "degC"),
    Value(182, "trip fuel", 65257, 1, 4, 0.5, 0, "L"),
    Value(183, "fuel rate", 65266, 1, 2, 0.05, 0, "L/h"),
    Value(184, "instantaneous fuel economy", 65266, 3, 2, 1 / 512.0, 0, "km/L"),
    Value(190, "engine speed", 61444, 4, 2, 0.125, 0, "rpm"),
    Value(244, "trip distance", 65248, 1, 4, 0.125, 0, "km"),
    Value(245, "total vehicle distance", 65248, 5, 4, 0.125, 0, "km"),
    Value(247, "engine hours", 65253, 1, 4, 0.05, 0, "h"),
    Value(250, "total fuel used", 65257, 5, 4, 0.5, 0, "L"),
    Value(512, "driver's demand torque", 61444, 2, 1, 1, -125, "%"),
    Value(513, "actual engine torque", 61444, 3, 1, 1, -125, "%"),
    Gear(523, "current gear", 4),
    Gear(524, "selected gear", 1),
    Value(526, "actual gear ratio", 61445, 2, 2, 0.001, 0, ""),
    Switch(595, "cruise control active", 65265, 4, 1),
    Switch(597, "brake switch", 65265, 4, 5),
    Switch(598, "clutch switch", 65265, 4, 7),
    Value(917, "total vehicle distance, high resolution", 65217, 1, 4, 0.005, 0, "km"),
    Value(918, "trip distance, high resolution", 65217, 5, 4, 5, 0, "m"),
};

DtcLamp WorstLamp(const Dm1& dm1) {
  if (dm1.mil || dm1.red_stop) return DtcLamp::kError;
  return dm1.amber || dm1.protect ? DtcLamp::kWarning : DtcLamp::kNone;
}

bool IsJ1939(const CanFrame& frame) {
  return frame.is(kCanExtended) && !frame.is(kCanRemote) && !frame.is(kCanError) && !frame.is(kCanFd);
}

}  // namespace

std::span<const Spn> KnownSpns() {
  return kSpns;
}

const Spn* FindSpn(uint32_t number) {
  const auto found = std::ranges::lower_bound(kSpns, number, {}, &Spn::number);
  return found != kSpns.end() && found->number == number ? &*found : nullptr;
}

std::optional<double> DecodeSpn(const Spn& spn, std::span<const uint8_t> data) {
  const size_t begin = spn.start_bit / 8;
  const size_t end = (spn.start_bit + spn.size_bits + 7) / 8;
  if (data.size() < end) return std::nullopt;
  uint64_t raw = 0;
  for (size_t i = end; i-- > begin;) raw = raw << 8 | data[i];
  raw = raw >> spn.start_bit % 8 & ((uint64_t{1} << spn.size_bits) - 1);
  if (raw > spn.last_raw) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(raw) * spn.factor + spn.offset;
}

J1939Reader::J1939Reader(J1939Options options, SignalBook& signals, DtcBook& dtcs)
    : bus_(options.bus),
      bus_name_(std::move(options.bus_name)),
      with_dtcs_(options.dtcs),
      signals_(signals),
      dtcs_(dtcs),
      transport_({kPgnDm1}) {
  for (const J1939Choice& choice : options.choices) {
    const Spn* const spn = FindSpn(choice.spn);
    FLEET_CHECK(spn != nullptr) << "SPN " << choice.spn;
    listeners_[spn->pgn].push_back(
        {.spn = spn, .index = choice.index, .fixed = choice.source, .source = choice.source, .heard = {}});
  }
}

bool J1939Reader::Wants(const CanFrame& frame) const {
  if (!IsJ1939(frame)) return false;
  const uint32_t pgn = ParseJ1939Id(frame.id).pgn;
  if (J1939Transport::Carries(pgn) || pgn == kPgnDm1) return with_dtcs_;
  return listeners_.contains(pgn);
}

void J1939Reader::Hear(const CanFrame& frame, Now now, CanEffects& effects) {
  if (!IsJ1939(frame)) return;
  const J1939Id id = ParseJ1939Id(frame.id);
  if (with_dtcs_ && J1939Transport::Carries(id.pgn)) {
    const auto message = transport_.Hear(id, frame);
    if (message) HearDm1(message->source, message->data, now, effects);
    return;
  }
  if (with_dtcs_ && id.pgn == kPgnDm1) return HearDm1(id.source, frame.bytes(), now, effects);
  const auto found = listeners_.find(id.pgn);
  if (found == listeners_.end()) return;
  for (Listener& listener : found->second) HearValue(listener, id.source, frame, now.mono, effects);
}

void J1939Reader::HearValue(Listener& listener, uint8_t source, const CanFrame& frame, MonoTime now,
                            CanEffects& effects) {
  if (listener.source && *listener.source != source) {
    if (listener.fixed || now - listener.heard <= kSourceHold) return;
  }
  const auto value = DecodeSpn(*listener.spn, frame.bytes());
  if (!value) {
    ++counters_.short_frames;
    return;
  }
  if (!std::isnan(*value)) listener.source = source;  // who has no value takes nothing over
  if (listener.source == source) listener.heard = now;
  ++counters_.values;
  signals_.Update(listener.index, *value, frame.at_unix_us / 1000, now, effects);
}

void J1939Reader::HearDm1(uint8_t source, std::span<const uint8_t> data, Now now, CanEffects& effects) {
  const auto dm1 = ParseDm1(data);
  if (!dm1.ok()) {
    ++counters_.bad_dm1;
    return;
  }
  std::vector<DtcSeen> seen;
  seen.reserve(dm1->codes.size());
  for (const J1939Dtc& dtc : dm1->codes) {
    seen.push_back({.code = CodeText(dtc), .status = "active", .count = dtc.count});
  }
  const DtcSource who = {.bus = bus_name_, .protocol = "j1939", .ecu = source};
  dtcs_.ReportLamp(who, WorstLamp(*dm1), effects);
  dtcs_.Report(who, seen, now, effects);
}

void J1939Reader::Clear(uint64_t token, CanEffects& effects) const {
  CanFrame request;
  request.id = CanIdOf({.priority = 6, .pgn = kPgnRequest, .source = kOwnAddress, .destination = kJ1939Global});
  request.flags = kCanExtended;
  request.size = 3;
  for (int i = 0; i < 3; ++i) request.data[i] = kPgnDm11 >> 8 * i & 0xFF;
  effects.writes.push_back({.bus = bus_, .frames = {request}, .token = token});
}

}  // namespace fleet::device
