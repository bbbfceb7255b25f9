// ISO-TP and OBD-II on arbitrary frames at arbitrary times. Each step of the input is six bytes, what to do, when, with
// which id and how much data, and the data. Whatever comes: messages have the length that was announced, flow control
// answers only what was asked for, a request waits for no longer than it may, and mode 04 is never sent unless somebody
// said so.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/status_macros.h"
#include "common/testing/fake_clock.h"
#include "device/can/obd_poller.h"

namespace fleet::device {
namespace {

// One bus with poller, receiver and sender on it.
class Bench {
 public:
  explicit Bench(bool extended)
      : extended_(extended),
        signals_(kDevice, {{.topic = "engine/rpm"}, {.topic = "vehicle/odometer"}}),
        poller_(0, "can0",
                {.extended = extended,
                 .pids = {{.pid = 0x0C, .index = 0, .period = absl::Milliseconds(100)},
                          {.pid = 0xA6, .index = 1, .period = absl::Seconds(1)}},
                 .dtc_period = absl::Seconds(1)}) {
    poller_.BusChanged(true, clock_.Read().mono);
  }

  void Step(uint8_t verb, uint16_t wait_ms, uint16_t id, std::span<const uint8_t> data) {
    clock_.Advance(absl::Milliseconds(wait_ms));
    switch (verb % 8) {
      case 0:
        poller_.BusChanged((verb & 8) != 0, clock_.Read().mono);
        break;
      case 1:
        clears_ += poller_.Clear(7, clock_.Read().mono).ok() ? 1 : 0;
        break;
      case 2:
        Send(size_t{verb} * 17);
        break;
      default:
        Hear(Frame(verb, id, data));
    }
    poller_.Tick(clock_, {.signals = signals_, .dtcs = dtcs_, .effects = effects_});
    cleared_ += poller_.TakeCleared().has_value() ? 1 : 0;
    Judge();
  }

 private:
  CanFrame Frame(uint8_t verb, uint16_t id, std::span<const uint8_t> data) const {
    CanFrame frame;
    frame.id = extended_ ? 0x18DAF100u + (id & 0x1F) : 0x7E8u + (id & 7);
    frame.flags = extended_ ? kCanExtended : uint8_t{0};
    if (verb >= 0xF0) frame.flags ^= static_cast<uint8_t>(id >> 8);
    frame.size = static_cast<uint8_t>(data.size());
    std::copy(data.begin(), data.end(), frame.data.begin());
    return frame;
  }
  void Hear(const CanFrame& frame) {
    std::vector<CanFrame> send;
    const auto message = receiver_.Hear(frame, clock_.Read().mono, send);
    FLEET_CHECK(!message.has_value() || (!message->empty() && message->size() <= kMaxIsoTpBytes));
    FLEET_CHECK(send.size() <= 1);
    sender_.Hear(frame, clock_.Read().mono, send);
    FLEET_CHECK(send.size() <= 1 + 2 * IsoTpSender::kBurst);
    poller_.Hear(frame, clock_, {.signals = signals_, .dtcs = dtcs_, .effects = effects_});
  }
  void Send(size_t size) {
    std::vector<CanFrame> send;
    const bool was_busy = sender_.busy();
    const bool fits = size > 0 && size <= kMaxIsoTpBytes;
    FLEET_CHECK(sender_.Send(std::vector<uint8_t>(size), clock_.Read().mono, send).ok() == (fits && !was_busy));
  }
  void Judge() {
    for (const CanWrite& write : effects_.writes) {
      FLEET_CHECK(!write.frames.empty() && write.token == 0);
      for (const CanFrame& frame : write.frames) {
        FLEET_CHECK(CheckCanFrame(frame).ok() && frame.size == 8 && frame.is(kCanExtended) == extended_);
        if (frame.id == 0x7DF || frame.id == 0x18DB33F1) erasures_ += frame.data[1] == 0x04 ? 1 : 0;
      }
    }
    FLEET_CHECK(erasures_ <= clears_ && cleared_ <= clears_ && clears_ <= cleared_ + 1);
    FLEET_CHECK(poller_.NextDue() == MonoTime::Max() || poller_.NextDue() <= clock_.Read().mono + absl::Minutes(1));
    for (const Sample& sample : effects_.samples) FLEET_CHECK(!sample.signal.empty());
    FLEET_CHECK(dtcs_.active() <= DtcBook::kMaxCodes);
    effects_.Clear();
  }

  const DeviceId kDevice = DeviceId::Parse("pi-1").value();
  const bool extended_;
  FakeClock clock_;
  SignalBook signals_;
  DtcBook dtcs_{kDevice};
  CanEffects effects_;
  ObdPoller poller_;
  IsoTpReceiver receiver_{{.answer = {.id = 0x7E0, .extended = false}, .block_size = 2}};
  IsoTpSender sender_{{.id = 0x7E0, .extended = false}};
  int clears_ = 0;
  int cleared_ = 0;
  int erasures_ = 0;
};

}  // namespace
}  // namespace fleet::device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> rest(data, size);
  const auto take = [&](size_t most) {
    const auto taken = rest.first(std::min(most, rest.size()));
    rest = rest.subspan(taken.size());
    return taken;
  };
  const auto flags = take(1);
  fleet::device::Bench bench(!flags.empty() && (flags[0] & 1) != 0);
  for (int turn = 0; turn < 2000 && rest.size() >= 6; ++turn) {
    const auto head = take(6);
    const auto bytes = take(head[5] % 9);
    bench.Step(head[0], static_cast<uint16_t>(head[1] << 8 | head[2]), static_cast<uint16_t>(head[3] << 8 | head[4]),
               bytes);
  }
  return 0;
}
