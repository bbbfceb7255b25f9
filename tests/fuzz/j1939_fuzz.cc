// J1939 and CANopen on arbitrary frames: id parts, values by SPN, transport, DM1, heartbeats and emergencies. Input is
// frames of 15 bytes: flags, size, time since the frame before in 10 ms, id (4 bytes, low first), 8 data bytes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/status_macros.h"
#include "device/can/canopen.h"
#include "device/can/j1939.h"
#include "device/can/j1939_dm1.h"

namespace fleet::device {
namespace {

constexpr size_t kRecordBytes = 15;

CanFrame ToFrame(const uint8_t* record, int64_t at_unix_us) {
  CanFrame frame;
  frame.at_unix_us = at_unix_us;
  frame.flags = record[0] & (kCanExtended | kCanRemote | kCanError);
  frame.size = record[1] % (kMaxClassicCanBytes + 1);
  std::memcpy(&frame.id, record + 3, sizeof(frame.id));
  frame.id &= frame.is(kCanExtended) ? kMaxExtendedCanId : kMaxStandardCanId;
  std::memcpy(frame.data.data(), record + 7, kMaxClassicCanBytes);
  return frame;
}

void CheckParts(const CanFrame& frame) {
  if (!frame.is(kCanExtended)) return;
  const J1939Id id = ParseJ1939Id(frame.id);
  FLEET_CHECK(CanIdOf(id) == frame.id);
  for (const Spn& spn : KnownSpns()) {
    const auto value = DecodeSpn(spn, frame.bytes());
    if (!value || std::isnan(*value)) continue;
    FLEET_CHECK(*value >= spn.offset && *value <= spn.last_raw * spn.factor + spn.offset) << "SPN " << spn.number;
  }
}

struct Listeners {
  Listeners() : signals(*DeviceId::Parse("pi-1"), Signals()), dtcs(*DeviceId::Parse("pi-1")) {}

  static std::vector<SignalOptions> Signals() {
    std::vector<SignalOptions> signals(KnownSpns().size());
    for (SignalOptions& signal : signals) signal.topic = "a/b";
    return signals;
  }
  static std::vector<J1939Choice> Choices() {
    std::vector<J1939Choice> choices;
    for (const Spn& spn : KnownSpns()) {
      choices.push_back({.spn = spn.number, .index = choices.size(), .source = std::nullopt});
    }
    return choices;
  }

  SignalBook signals;
  DtcBook dtcs;
  J1939Reader j1939{{.bus = 0, .bus_name = "can0", .choices = Choices(), .dtcs = true}, signals, dtcs};
  CanOpenNodes canopen{{.bus_name = "can0", .nodes = {{.node = 5, .silent_after = absl::Seconds(1), .signals = {0}}}},
                       signals,
                       MonoTime()};
};

void Hear(Listeners& listeners, const CanFrame& frame, Now now) {
  CanEffects effects;
  const bool wanted = listeners.j1939.Wants(frame) || CanOpenNodes::Wants(frame);
  listeners.j1939.Hear(frame, now, effects);
  listeners.canopen.Hear(frame, now, effects);
  FLEET_CHECK(wanted || (effects.publish.empty() && effects.samples.empty() && effects.events.empty()));
  FLEET_CHECK(effects.samples.size() <= KnownSpns().size() && effects.writes.empty());
  FLEET_CHECK(effects.events.size() <= 2 * DtcBook::kMaxCodes);
  FLEET_CHECK(listeners.j1939.transport().open() <= J1939Transport::kMaxSessions);
  FLEET_CHECK(listeners.dtcs.active() <= DtcBook::kMaxCodes);
  if (listeners.canopen.NextDue() <= now.mono) listeners.canopen.Tick(now, effects);
  FLEET_CHECK(listeners.canopen.NextDue() > now.mono);
}

}  // namespace
}  // namespace fleet::device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fleet;
  using namespace fleet::device;
  const auto dm1 = ParseDm1({data, size});
  FLEET_CHECK(!dm1.ok() || 4 * dm1->codes.size() + 2 <= size);
  Listeners listeners;
  Now now{MonoTime(), absl::FromUnixSeconds(1'700'000'000)};
  for (; size >= kRecordBytes; data += kRecordBytes, size -= kRecordBytes) {
    const absl::Duration pause = absl::Milliseconds(10) * data[2];
    now = {now.mono + pause, now.wall + pause};
    const CanFrame frame = ToFrame(data, absl::ToUnixMicros(now.wall));
    CheckParts(frame);
    Hear(listeners, frame, now);
  }
  return 0;
}
