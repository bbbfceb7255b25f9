#include "device/can/obd_poller.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace fleet::device {
namespace {

constexpr uint8_t kReadData = 0x01;
constexpr uint8_t kReadStored = 0x03;
constexpr uint8_t kErase = 0x04;
constexpr uint8_t kReadPending = 0x07;

// Parameters that are due soon go along, so that those of one period stay in one request.
absl::Duration Slack(absl::Duration period) {
  return std::min(period / 10, absl::Milliseconds(50));
}

}  // namespace

ObdPoller::ObdPoller(size_t bus, absl::string_view name, const PlannedObd& plan)
    : bus_(bus), name_(name), dtc_period_(plan.dtc_period), exchange_(plan.extended) {
  for (const PlannedPid& planned : plan.pids) {
    const absl::Duration period = std::max(planned.period, kMinPeriod);
    Parameter* known = FindParameter(planned.pid);
    if (known == nullptr) {
      const ObdPid* pid = FindObdPid(planned.pid);
      FLEET_CHECK(pid != nullptr) << "PID " << int{planned.pid};
      const auto at =
          std::ranges::lower_bound(parameters_, planned.pid, {}, [](const Parameter& p) { return p.pid->pid; });
      known = &*parameters_.insert(at, Parameter{.pid = pid, .period = period, .owner = std::nullopt, .due = {}});
    }
    known->period = std::min(known->period, period);
    known->signals.push_back(planned.index);
  }
}

void ObdPoller::BusChanged(bool up, MonoTime now) {
  if (up == (state_ != State::kDown)) return;
  pause_ = kMinPause;
  Sleep(up ? now + rest_ : now);
  // It may be what we ask that brings the bus down: until somebody answers it is let alone longer each time.
  if (up) rest_ = std::clamp(2 * rest_, kMinPause, kMaxPause);
  if (up) return;
  state_ = State::kDown;
  if (clear_.has_value()) EndClear(false, "the bus went down");
}

void ObdPoller::Sleep(MonoTime until) {
  state_ = State::kAsleep;
  wake_ = until;
  exchange_.GiveUp();
  exchange_.ForgetLateness();
  silent_ = 0;
  group_ = kMaxGroup;
  group_failures_ = 0;
  single_next_ = false;
  kind_ = next_codes_ = Kind::kNone;
  codes_due_ = dtc_period_ > absl::ZeroDuration() ? until : MonoTime::Max();
  rediscover_ = MonoTime::Max();
  for (Ecu& ecu : ecus_) {
    ecu.present = false;
    ecu.supported.reset();
  }
  for (Parameter& parameter : parameters_) {
    parameter.owner.reset();
    parameter.probe = parameter.alone = false;
  }
}

void ObdPoller::Hear(const CanFrame& frame, Now now, ObdOut out) {
  if (state_ == State::kDown) return;
  std::vector<CanFrame> send;
  const auto answer = exchange_.Hear(frame, now.mono, send);
  if (!send.empty()) out.effects.writes.push_back({.bus = bus_, .frames = std::move(send)});
  if (!answer.has_value()) return;
  const int64_t at_unix_ms = frame.at_unix_us > 0 ? frame.at_unix_us / 1000 : now.unix_ms();
  if (Take(*answer, at_unix_ms, now, out)) {
    exchange_.Accept(answer->ecu);
  } else {
    exchange_.Discard();
  }
}

void ObdPoller::Tick(Now now, ObdOut out) {
  if (state_ == State::kDown) return;
  if (exchange_.TakeEnd(now.mono)) Finish(now, out);
  if (clear_waits() && now.mono >= clear_until_) {
    EndClear(false, "not sent: the controllers are busy with another request");
  }
  if (!exchange_.busy()) AskNext(now.mono, out.effects);
}

MonoTime ObdPoller::NextDue() const {
  if (state_ == State::kDown) return MonoTime::Max();
  if (exchange_.busy()) return std::min(exchange_.NextDue(), clear_waits() ? clear_until_ : MonoTime::Max());
  if (clear_waits() || state_ == State::kDiscovering || next_codes_ != Kind::kNone) return MonoTime();
  if (state_ == State::kAsleep) return wake_;
  MonoTime due = std::min(codes_due_, rediscover_);
  for (const Parameter& parameter : parameters_) {
    if (parameter.owner.has_value()) due = std::min(due, parameter.due);
  }
  return due;
}

absl::Status ObdPoller::Clear(uint64_t token, MonoTime now) {
  if (state_ == State::kDown) return absl::UnavailableError("the bus is down");
  if (clear_.has_value()) return absl::UnavailableError("trouble codes are being cleared already");
  clear_ = token;
  clear_until_ = now + kClearPatience;
  return absl::OkStatus();
}

size_t ObdPoller::unsupported() const {
  return static_cast<size_t>(
      std::ranges::count_if(parameters_, [](const Parameter& parameter) { return !parameter.owner.has_value(); }));
}

bool ObdPoller::IsExpected(const Ecu& ecu, Kind kind, std::span<const uint8_t> request) const {
  if (!ecu.present) return false;
  if (request[0] != kReadData) return true;
  // Who else has come is not known before all had the time to say so.
  if (kind == Kind::kDiscover && request[1] == 0) return false;
  return std::ranges::any_of(request.subspan(1), [&](uint8_t pid) { return ecu.supported[pid]; });
}

void ObdPoller::Ask(Kind kind, std::vector<uint8_t> request, MonoTime now, CanEffects& effects) {
  std::vector<uint32_t> expected;
  for (const Ecu& ecu : ecus_) {
    if (IsExpected(ecu, kind, request)) expected.push_back(ecu.id);
  }
  kind_ = kind;
  CanWrite& write = effects.writes.emplace_back(CanWrite{.bus = bus_});
  exchange_.Begin(std::move(request), expected, now, write.frames);
}

void ObdPoller::AskNext(MonoTime now, CanEffects& effects) {
  if (clear_.has_value()) return Ask(Kind::kClear, {kErase}, now, effects);
  switch (state_) {
    case State::kDown:
      return;
    case State::kAsleep:
      next_bitmap_ = 0;
      if (now >= wake_) Ask(Kind::kDiscover, {kReadData, next_bitmap_}, now, effects);
      return;
    case State::kDiscovering:
      return Ask(Kind::kDiscover, {kReadData, next_bitmap_}, now, effects);
    case State::kAlive:
      break;
  }
  // A round of codes takes turns with data, so that controllers that do not answer it hold up no parameter for long.
  if (kind_ != Kind::kData && next_codes_ != Kind::kNone && AskData(now, effects)) return;
  if (AskCodes(now, effects)) return;
  if (now >= rediscover_) {
    state_ = State::kDiscovering;
    next_bitmap_ = 0;
    return Ask(Kind::kDiscover, {kReadData, next_bitmap_}, now, effects);
  }
  AskData(now, effects);
}

bool ObdPoller::AskCodes(MonoTime now, CanEffects& effects) {
  if (next_codes_ == Kind::kNone) {
    if (now < codes_due_) return false;
    codes_due_ = now + dtc_period_;
    next_codes_ = Kind::kMonitor;
    for (Ecu& ecu : ecus_) ecu.told_codes = false;
  }
  const Kind kind = next_codes_;
  if (kind == Kind::kMonitor) {
    Ask(kind, {kReadData, kObdMonitorPid}, now, effects);
  } else {
    Ask(kind, {kind == Kind::kStored ? kReadStored : kReadPending}, now, effects);
  }
  return true;
}

bool ObdPoller::AskData(MonoTime now, CanEffects& effects) {
  const std::vector<Parameter*> chosen = ChooseDue(now);
  if (chosen.empty()) return false;
  std::vector<uint8_t> request = {kReadData};
  for (Parameter* parameter : chosen) {
    parameter->due = std::max(parameter->due + parameter->period, now);
    parameter->fresh = false;
    request.push_back(parameter->pid->pid);
  }
  Ask(Kind::kData, std::move(request), now, effects);
  return true;
}

std::vector<ObdPoller::Parameter*> ObdPoller::ChooseDue(MonoTime now) {
  std::vector<Parameter*> due;
  for (Parameter& parameter : parameters_) {
    if (parameter.owner.has_value() && parameter.due <= now + Slack(parameter.period)) due.push_back(&parameter);
  }
  std::ranges::stable_sort(due, {}, [](const Parameter* parameter) { return parameter->due; });
  if (due.empty() || due[0]->due > now) return {};
  const auto spoils = [](const Parameter* parameter) { return parameter->probe || parameter->alone; };
  if (single_next_ || spoils(due[0])) {
    due.resize(1);
  } else {
    std::erase_if(due, spoils);
    due.resize(std::min(due.size(), group_));
  }
  return due;
}

bool ObdPoller::Take(const ObdAnswer& answer, int64_t at_unix_ms, Now now, ObdOut out) {
  Ecu& ecu = FindEcu(answer.ecu);
  switch (kind_) {
    case Kind::kNone:
      return false;
    case Kind::kDiscover:
    case Kind::kData:
    case Kind::kMonitor:
      return TakeReadings(ecu, answer.message, at_unix_ms, now, out);
    case Kind::kStored:
    case Kind::kPending:
      return TakeCodes(ecu, answer.message);
    case Kind::kClear:
      return answer.message.size() == 1;
  }
  return false;
}

bool ObdPoller::TakeReadings(Ecu& ecu, std::span<const uint8_t> message, int64_t at_unix_ms, Now now, ObdOut out) {
  const auto readings = ParseObdReadings(message, std::span(exchange_.request()).subspan(1));
  if (!readings.has_value()) return false;
  for (const ObdReading& reading : *readings) {
    if (IsObdBitmap(reading.pid)) {
      ecu.present |= reading.pid == 0;
      for (int bit = 0; bit < kObdBitmapPids; ++bit) {
        const size_t pid = size_t{reading.pid} + 1 + static_cast<size_t>(bit);
        if (pid < ecu.supported.size()) ecu.supported[pid] = (reading.data[bit / 8] >> (7 - bit % 8) & 1) != 0;
      }
      continue;
    }
    if (reading.pid == kObdMonitorPid) {
      const bool is_lit = (reading.data[0] & 0x80) != 0;
      out.dtcs.ReportLamp(Source(ecu), is_lit ? DtcLamp::kError : DtcLamp::kNone, out.effects);
    }
    Parameter* parameter = FindParameter(reading.pid);
    if (parameter == nullptr || parameter->owner != ecu.id) continue;
    parameter->fresh = true;
    const double value = DecodeObdPid(*parameter->pid, reading.data);
    for (const size_t signal : parameter->signals) out.signals.Update(signal, value, at_unix_ms, now.mono, out.effects);
  }
  return true;
}

bool ObdPoller::TakeCodes(Ecu& ecu, std::span<const uint8_t> message) {
  auto codes = ParseObdDtcs(message);
  if (!codes.has_value()) return false;
  (kind_ == Kind::kStored ? ecu.stored : ecu.pending) = *std::move(codes);
  ecu.told_codes = ecu.told_codes || kind_ == Kind::kStored;  // pending ones alone are not all
  return true;
}

ObdPoller::Ecu& ObdPoller::FindEcu(uint32_t id) {
  const auto at = std::ranges::lower_bound(ecus_, id, {}, &Ecu::id);
  if (at != ecus_.end() && at->id == id) return *at;
  return *ecus_.insert(at, Ecu{.id = id});
}

ObdPoller::Parameter* ObdPoller::FindParameter(uint8_t pid) {
  const auto found = std::ranges::find_if(parameters_, [&](const Parameter& p) { return p.pid->pid == pid; });
  return found == parameters_.end() ? nullptr : &*found;
}

}  // namespace fleet::device
