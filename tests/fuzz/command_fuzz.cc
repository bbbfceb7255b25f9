// The command gate on arbitrary bytes: with a key nothing unsigned passes, without one whatever passes has meaning,
// every payload is either passed or counted once, and a copy never passes but is answered with the same state.
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/signing.h"
#include "common/status_macros.h"
#include "common/testing/fake_clock.h"
#include "device/command_gate.h"

namespace fleet::device {
namespace {

constexpr EntityId kEntity{1};

constexpr int64_t kServerMs = 1'000;

void Judge(CommandGate& gate, absl::string_view payload, bool may_pass) {
  const FakeClock clock;
  v1::ServerBeat beat;
  beat.set_steady_unix_ms(kServerMs);
  ServerTime time;
  time.Hear(beat, clock.Read().mono);
  CommandMemory memory(nullptr);
  memory.HearTime(0);
  for (uint64_t copy = 1; copy <= 2; ++copy) {
    std::vector<v1::CommandUpdate> updates;
    const auto passed = gate.Judge(payload, time, clock.Read().mono, memory, updates);
    FLEET_CHECK(gate.passed() + gate.refused_total() == copy);
    FLEET_CHECK(updates.size() <= 1);
    if (!passed) continue;
    FLEET_CHECK(may_pass && copy == 1 && updates.empty() && memory.size() == 1);
    if (const auto* order = std::get_if<SegmentOrder>(&*passed)) {
      FLEET_CHECK(order->entity == kEntity && Number(order->command) != 0);
      FLEET_CHECK(order->expires_at > clock.Read().mono);
    } else {
      FLEET_CHECK(std::get<CancelOrder>(*passed).cancel.target_case() != v1::Cancel::TARGET_NOT_SET);
    }
  }
}

}  // namespace
}  // namespace fleet::device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fleet;
  using namespace fleet::device;
  static const CommandKey key = CommandKey::FromHex(std::string(64, '0')).value();
  const absl::string_view payload(reinterpret_cast<const char*>(data), size);
  CommandGate open_gate({.key = std::nullopt, .entities = {kEntity}});
  Judge(open_gate, payload, /*may_pass=*/true);
  CommandGate closed_gate({.key = key, .entities = {kEntity}});
  Judge(closed_gate, payload, /*may_pass=*/false);
  return 0;
}
