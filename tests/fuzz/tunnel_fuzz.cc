// Both tunnels on arbitrary bytes: what is not a frame that the list allows never reaches a bus, whichever way it came.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/can/can_columns.h"
#include "common/can/can_filter.h"
#include "common/status_macros.h"
#include "device/can/can_hub.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {
namespace {

const MonoTime kStart = MonoTime::FromNanos(1'000'000'000'000);

v1::CanFilter Allowed() {
  return *ParseCanFilter("100:700");
}

CanPlan Plan() {
  BusPlan bus;
  bus.name = "can0";
  bus.max_tap = absl::Hours(1);
  bus.send_allow = {Allowed()};
  bus.send_rate_hz = 1e6;
  bus.compat_base = "can";
  return {.buses = {bus}, .signals = {}};
}

class Tunnel {
 public:
  void Compatible(absl::string_view id, absl::string_view payload) {
    const Arrived message{.topic = "can/s/" + std::string(id), .payload = std::string(payload)};
    hub_.Arrive(message, now_, effects_);
    Check();
  }

  void Native(absl::string_view bytes) {
    v1::Command command;
    if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    if (!command.has_can_send() && !command.has_can_tap() && !command.has_clear_dtcs()) return;
    if (!hub_.Judge(command, now_.mono).ok()) return;
    CanCommand order{.command = CommandId{++last_}, .expires_at = now_.mono + absl::Seconds(1), .body = {}};
    if (command.has_can_send()) order.body = command.can_send();
    if (command.has_can_tap()) order.body = command.can_tap();
    if (command.has_clear_dtcs()) order.body = command.clear_dtcs();
    hub_.Run(order, now_.mono, effects_);
    Check();
  }

  // A frame of the bus, however odd, comes out of a tap as it went in.
  void Frames(absl::string_view bytes) {
    v1::CanFrames frames;
    if (!frames.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    CanNews news;
    news.report.up = true;
    if (!ForEachFrame(frames, [&](const CanFrame& frame) { news.frames.push_back(frame); }).ok()) return;
    hub_.Hear(0, news, now_, effects_);
    now_.mono = now_.mono + absl::Milliseconds(10);
    hub_.Tick(now_, effects_);
    Check();
  }

 private:
  void Check() {
    for (const CanWrite& write : effects_.writes) {
      for (const CanFrame& frame : write.frames) {
        FLEET_CHECK(CheckCanFrame(frame).ok() && Passes(Allowed(), frame));
      }
    }
    for (const Publication& publication : effects_.publish) {
      v1::CanBatch batch;
      if (publication.topic != "rpi/a/can/can0/rx") continue;
      FLEET_CHECK(batch.ParseFromString(publication.payload));
      FLEET_CHECK(ForEachFrame(batch.frames(), [](const CanFrame&) {}).ok());
    }
    effects_.Clear();
  }

  Now now_{.mono = kStart, .wall = absl::FromUnixSeconds(1'700'000'000)};
  CanHub hub_{*DeviceId::Parse("a"), 1, Plan(), kStart};
  CanEffects effects_;
  uint64_t last_ = 0;
};

}  // namespace
}  // namespace fleet::device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  fleet::device::Tunnel tunnel;
  // Records: a kind, a length, so many bytes.
  while (rest.size() > 2) {
    const auto kind = static_cast<uint8_t>(rest[0]);
    const absl::string_view record = rest.substr(2, static_cast<uint8_t>(rest[1]));
    rest.remove_prefix(2 + record.size());
    switch (kind % 3) {
      case 0: {
        const size_t split = record.size() < 4 ? record.size() : 4;
        tunnel.Compatible(record.substr(0, split), record.substr(split));
        break;
      }
      case 1:
        tunnel.Native(record);
        break;
      default:
        tunnel.Frames(record);
    }
  }
  return 0;
}
