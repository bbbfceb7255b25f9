// The outbox on arbitrary receipts: whatever they say, made = receipted + dropped + waiting, and only what was made is
// receipted.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "common/codec.h"
#include "common/status_macros.h"
#include "common/testing/fake_clock.h"
#include "device/outbox.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fleet;
  using namespace fleet::device;
  FakeClock clock;
  const SpoolContents contents;
  Outbox outbox(DeviceId::Parse("pi-1").value(), 1, &contents, clock);
  outbox.LinkUp(clock);
  Effects effects;
  for (int turn = 0; turn < 5; ++turn) {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_REPORTED);
    outbox.Add(event, clock);
    outbox.Add(Sample{.signal = "a/b", .value = 1}, clock);
    clock.Advance(absl::Seconds(1));
    outbox.Tick(clock, effects);
  }
  v1::Receipt receipt;
  if (!Decode({reinterpret_cast<const char*>(data), size}, receipt).ok()) return 0;
  outbox.Hear(receipt, clock);
  outbox.Tick(clock, effects);
  for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) {
    const Outbox::Counters& counters = outbox.counters();
    FLEET_CHECK(counters.made[stream] == 5 && counters.dropped[stream] == 0);
    FLEET_CHECK(counters.receipted[stream] + outbox.waiting(stream) == 5);
  }
  return 0;
}
