// The command gate on arbitrary bytes: with a key nothing unsigned passes, without one whatever passes has meaning, and
// every payload is either passed or counted once.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/signing.h"
#include "common/status_macros.h"
#include "common/testing/fake_clock.h"
#include "device/command_gate.h"

namespace fleet::device {
namespace {

constexpr EntityId kEntity{1};

void Judge(CommandGate& gate, absl::string_view payload, bool may_pass) {
  const FakeClock clock;
  v1::ServerBeat beat;
  beat.set_steady_unix_ms(1'000);
  ServerTime time;
  time.Hear(beat, clock.Read().mono);
  for (uint64_t copy = 1; copy <= 2; ++copy) {
    std::vector<v1::CommandUpdate> updates;
    const auto order = gate.Judge(payload, time, clock.Read().mono, updates);
    FLEET_CHECK(gate.passed() + gate.refused_total() == copy);
    FLEET_CHECK(updates.size() <= 1);
    if (!order) continue;
    FLEET_CHECK(may_pass && copy == 1 && updates.empty());
    FLEET_CHECK(order->entity == kEntity && Number(order->command) != 0);
    FLEET_CHECK(order->expires_at > clock.Read().mono);
  }
}

}  // namespace
}  // namespace fleet::device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fleet;
  using namespace fleet::device;
  static const CommandKey key = CommandKey::FromHex(std::string(64, '0')).value();
  const absl::string_view payload(reinterpret_cast<const char*>(data), size);
  CommandGate open_gate({.key = std::nullopt, .entities = {kEntity}, .started = MonoTime()});
  Judge(open_gate, payload, /*may_pass=*/true);
  CommandGate closed_gate({.key = key, .entities = {kEntity}, .started = MonoTime()});
  Judge(closed_gate, payload, /*may_pass=*/false);
  return 0;
}
