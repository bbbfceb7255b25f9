// Simulated OBD-II controllers, and a bench on which they and the poller talk on simulated time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "common/testing/fake_clock.h"
#include "device/can/obd_poller.h"

namespace fleet::device {

// A controller. What it does by itself is made of its parameters and codes; what is in `says` goes before that.
struct FakeEcu {
  using Bytes = std::vector<uint8_t>;
  static std::string Hex(const Bytes& bytes) {
    return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  uint32_t id;
  std::map<uint8_t, Bytes> parameters;  // of mode 01
  std::vector<uint16_t> stored;
  std::vector<uint16_t> pending;
  std::map<std::string, std::vector<Bytes>> says;  // by request in hex: messages, one after the other
  absl::Duration delay = absl::Milliseconds(5);
  size_t most_parameters = 6;  // in one answer
  bool mute = false;

  struct Later {
    MonoTime at;
    Bytes message;
  };
  std::vector<Later> later;
  IsoTpSender sender{{.id = id, .extended = id > kMaxStandardCanId}};

  bool Supports(int pid) const {
    if (pid % 0x20 != 0) return parameters.count(static_cast<uint8_t>(pid)) > 0;
    return pid == 0 || parameters.lower_bound(static_cast<uint8_t>(pid)) != parameters.end();
  }
  Bytes Bitmap(int base) const {
    Bytes bits(4);
    for (int i = 0; i < 0x20; ++i) bits[i / 8] |= static_cast<uint8_t>(Supports(base + 1 + i) << (7 - i % 8));
    return bits;
  }
  Bytes ReadData(const Bytes& request) const {
    Bytes answer = {0x41};
    for (size_t i = 1; i < request.size() && i <= most_parameters; ++i) {
      if (!Supports(request[i])) continue;
      const Bytes data = request[i] % 0x20 == 0 ? Bitmap(request[i]) : parameters.at(request[i]);
      answer.push_back(request[i]);
      answer.insert(answer.end(), data.begin(), data.end());
    }
    return answer.size() > 1 ? answer : Bytes{};
  }
  Bytes ReadCodes(uint8_t service, const std::vector<uint16_t>& codes) const {
    Bytes answer = {static_cast<uint8_t>(service + 0x40), static_cast<uint8_t>(codes.size())};
    for (const uint16_t code : codes) {
      answer.push_back(static_cast<uint8_t>(code >> 8));
      answer.push_back(static_cast<uint8_t>(code));
    }
    return answer;
  }
  Bytes Answer(const Bytes& request) {
    switch (request[0]) {
      case 0x01:
        return ReadData(request);
      case 0x03:
        return ReadCodes(0x03, stored);
      case 0x07:
        return ReadCodes(0x07, pending);
      case 0x04:
        stored.clear();
        pending.clear();
        return {0x44};
      default:
        return {0x7F, request[0], 0x11};
    }
  }
  void Hear(const Bytes& request, MonoTime now) {
    if (mute) return;
    const auto said = says.find(Hex(request));
    std::vector<Bytes> messages = said != says.end() ? said->second : std::vector<Bytes>{Answer(request)};
    MonoTime at = now;
    for (Bytes& message : messages) {
      at = at + delay;
      if (!message.empty()) later.push_back({.at = at, .message = std::move(message)});
    }
  }
  MonoTime NextDue() const {
    MonoTime due = sender.NextDue();
    for (const Later& l : later) due = std::min(due, l.at);
    return due;
  }
  void Tick(MonoTime now, std::vector<CanFrame>& out) {
    sender.Tick(now, out);
    if (later.empty() || later[0].at > now || sender.busy()) return;
    EXPECT_TRUE(sender.Send(later[0].message, now, out).ok());
    later.erase(later.begin());
  }
};

class ObdBench : public testing::Test {
 protected:
  using Bytes = FakeEcu::Bytes;
  static constexpr uint8_t kRpm = 0x0C;
  static constexpr uint8_t kSpeed = 0x0D;
  static constexpr uint8_t kOdometer = 0xA6;

  static CanFrame Frame(absl::string_view text) {
    auto frame = ParseCanFrameText(text);
    EXPECT_TRUE(frame.ok()) << frame.status();
    return frame.value_or(CanFrame{});
  }
  static PlannedObd Plan(std::vector<PlannedPid> pids, absl::Duration dtc_period = absl::ZeroDuration(),
                         bool extended = false) {
    return {.extended = extended, .pids = std::move(pids), .dtc_period = dtc_period};
  }
  static PlannedPid Pid(uint8_t pid, size_t index, absl::Duration period = absl::Seconds(1)) {
    return {.pid = pid, .index = index, .period = period};
  }

  ObdBench() : signals_(kDevice, Options()), dtcs_(kDevice) {}

  void Begin(const PlannedObd& plan) {
    poller_.emplace(3, "can0", plan);
    poller_->BusChanged(true, clock_.Read().mono);
  }
  ObdOut out() { return {.signals = signals_, .dtcs = dtcs_, .effects = effects_}; }
  FakeEcu& AddEcu(uint32_t id, std::map<uint8_t, Bytes> parameters) {
    ecus_.push_back(std::make_unique<FakeEcu>(FakeEcu{.id = id, .parameters = std::move(parameters)}));
    return *ecus_.back();
  }
  FakeEcu& AddEngine() { return AddEcu(0x7E8, {{kRpm, {0x17, 0x70}}, {kSpeed, {0x28}}, {0x01, {0x00, 7, 0x65, 4}}}); }

  void Hear(absl::string_view text) { poller_->Hear(Frame(text), clock_, out()); }

  // Lets poller and controllers talk for `time`.
  void Run(absl::Duration time) {
    const MonoTime end = clock_.Read().mono + time;
    for (int turn = 0; turn < 100'000; ++turn) {
      poller_->Tick(clock_, out());
      Deliver();
      if (!effects_.writes.empty()) continue;
      MonoTime next = poller_->NextDue();
      for (const auto& ecu : ecus_) next = std::min(next, ecu->NextDue());
      if (next > end) break;
      if (next > clock_.Read().mono) clock_.Advance(next - clock_.Read().mono);
    }
    if (clock_.Read().mono < end) clock_.Advance(end - clock_.Read().mono);
  }
  void Deliver() {
    const std::vector<CanWrite> writes = std::exchange(effects_.writes, {});
    for (const CanWrite& write : writes) {
      EXPECT_EQ(write.bus, 3u);
      for (const CanFrame& frame : write.frames) Deliver(frame);
    }
    for (const auto& ecu : ecus_) {
      std::vector<CanFrame> frames;
      ecu->Tick(clock_.Read().mono, frames);
      for (CanFrame& frame : frames) poller_->Hear(frame, clock_, out());
    }
  }
  void Deliver(const CanFrame& frame) {
    EXPECT_EQ(frame.size, 8) << "ISO 15765-4";
    if (frame.id == 0x7DF || frame.id == 0x18DB33F1) {
      const Bytes request(frame.data.begin() + 1, frame.data.begin() + 1 + frame.data[0]);
      requests_.push_back(FakeEcu::Hex(request));
      for (const auto& ecu : ecus_) ecu->Hear(request, clock_.Read().mono);
      return;
    }
    for (const auto& ecu : ecus_) {
      const bool is_his =
          ecu->id > kMaxStandardCanId ? frame.id == (0x18DA00F1 | (ecu->id & 0xFF) << 8) : frame.id == ecu->id - 8;
      std::vector<CanFrame> frames;
      if (is_his) ecu->sender.Hear(frame, clock_.Read().mono, frames);
      for (const CanFrame& answer : frames) poller_->Hear(answer, clock_, out());
    }
  }

  // Samples of one signal since the last look; NaN is -1.
  std::vector<double> Samples(absl::string_view topic) {
    std::vector<double> values;
    for (const Sample& sample : effects_.samples) {
      if (sample.signal == topic) values.push_back(std::isnan(sample.value) ? -1 : sample.value);
    }
    effects_.samples.clear();
    return values;
  }
  std::vector<std::string> Codes() {
    std::vector<std::string> codes;
    for (const v1::Event& event : std::exchange(effects_.events, {})) {
      if (event.kind() == v1::EVENT_KIND_DTC_SCANNED) continue;
      codes.push_back(absl::StrCat(event.kind() == v1::EVENT_KIND_DTC_SET ? "+" : "-", event.name(), " ",
                                   event.dtc().status(), " ", ObdEcuText(event.dtc().ecu())));
    }
    return codes;
  }
  std::string Health() {
    std::string health;
    for (const Publication& publication : effects_.publish) {
      if (absl::EndsWith(publication.topic, "/health")) health = publication.payload;
    }
    return health;
  }
  std::vector<std::string> Requests() { return std::exchange(requests_, {}); }

  static std::vector<SignalOptions> Options() {
    return {{.topic = "engine/rpm"}, {.topic = "vehicle/speed"}, {.topic = "vehicle/odometer"},
            {.topic = "x/3"},        {.topic = "x/4"},           {.topic = "x/5"},
            {.topic = "x/6"}};
  }

  const DeviceId kDevice = DeviceId::Parse("pi-1").value();
  FakeClock clock_;
  SignalBook signals_;
  DtcBook dtcs_;
  CanEffects effects_;
  std::optional<ObdPoller> poller_;
  std::vector<std::unique_ptr<FakeEcu>> ecus_;
  std::vector<std::string> requests_;
};

}  // namespace fleet::device
