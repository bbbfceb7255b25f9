#include "device/signals/signal_book.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "common/status_macros.h"
#include "common/topics.h"

namespace fleet::device {
namespace {

// So long ago that a period since then is over, and still far from where nanoseconds overflow; as a duration: never.
constexpr int64_t kLongNanos = std::numeric_limits<int64_t>::max() / 4;
constexpr int64_t kLongAgo = -kLongNanos;
constexpr double kNotAvailable = std::numeric_limits<double>::quiet_NaN();

int64_t NanosOf(absl::Duration duration) {
  return std::clamp<int64_t>(absl::ToInt64Nanoseconds(duration), 0, kLongNanos);
}

}  // namespace

SignalBook::SignalBook(const DeviceId& device, std::vector<SignalOptions> signals)
    : options_(std::move(signals)), signals_(options_.size()) {
  for (size_t i = 0; i < options_.size(); ++i) {
    const SignalOptions& options = options_[i];
    topics_.push_back(SignalTopic(device, options.topic));
    signals_[i].free_at = kLongAgo;
    signals_[i].period = NanosOf(options.period);
    signals_[i].silent_after = NanosOf(options.silent_after);
    signals_[i].on_change = options.on_change;
    signals_[i].dead_band = options.dead_band;
  }
  std::vector<Timer> room;
  room.reserve(2 * options_.size());
  timers_ = std::priority_queue(std::greater<>(), std::move(room));
}

void SignalBook::Update(size_t index, double value, int64_t at_unix_ms, MonoTime now, SignalEffects& effects) {
  FLEET_CHECK(index < signals_.size()) << "signal " << index;
  Signal& signal = signals_[index];
  signal.heard_at = now.nanos();
  SetSilenceTimer(index);
  if (!std::isfinite(value)) return PublishInvalid(index, at_unix_ms, effects);
  signal.newest = value;
  signal.newest_unix_ms = at_unix_ms;
  signal.waiting = IsWorthTelling(signal);
  if (!signal.waiting) return;
  if (now.nanos() >= signal.free_at) {
    PublishNewest(index, now.nanos(), effects);
  } else {
    SetWaitTimer(index);
  }
}

void SignalBook::Invalidate(size_t index, int64_t at_unix_ms, MonoTime now, SignalEffects& effects) {
  Update(index, kNotAvailable, at_unix_ms, now, effects);
}

void SignalBook::Tick(Now now, SignalEffects& effects) {
  if (!std::exchange(has_ticked_, true)) {
    for (size_t i = 0; i < signals_.size(); ++i) {
      if (signals_[i].state == State::kUnknown) signals_[i].heard_at = now.mono.nanos();
      SetSilenceTimer(i);
    }
  }
  while (!timers_.empty() && timers_.top().at <= now.mono.nanos()) {
    const Timer timer = timers_.top();
    timers_.pop();
    if (timer.silence) {
      OnSilenceTimer(timer.signal, now, effects);
    } else {
      OnWaitTimer(timer.signal, now.mono.nanos(), effects);
    }
  }
}

MonoTime SignalBook::NextDue() const {
  if (!has_ticked_ && !signals_.empty()) return MonoTime();
  return timers_.empty() ? MonoTime::Max() : MonoTime::FromNanos(timers_.top().at);
}

void SignalBook::Resume(SignalEffects& effects) const {
  for (size_t i = 0; i < signals_.size(); ++i) {
    const Signal& signal = signals_[i];
    const bool is_told_again_anyway = signal.state == State::kValid && !signal.on_change;
    if (signal.state != State::kUnknown && !is_told_again_anyway) effects.publish.push_back(PlainText(i));
  }
}

void SignalBook::AppendCurrent(std::vector<CurrentSignal>& out) const {
  for (size_t i = 0; i < signals_.size(); ++i) {
    const Signal& signal = signals_[i];
    if (signal.state == State::kUnknown) continue;
    const double value = signal.state == State::kValid ? signal.newest : kNotAvailable;
    std::string text = SignalText(value, options_[i].decimals, options_[i].labels);
    const bool is_word = std::isfinite(value) && text != SignalText(value, options_[i].decimals, {});
    out.push_back({.name = options_[i].topic,
                   .text = std::move(text),
                   .is_word = is_word,
                   .value = value,
                   .heard_at = MonoTime::FromNanos(signal.heard_at)});
  }
}

bool SignalBook::IsWorthTelling(const Signal& signal) const {
  return signal.state != State::kValid || !signal.on_change ||
         std::abs(signal.newest - signal.published) > signal.dead_band;
}

void SignalBook::SetWaitTimer(size_t index) {
  Signal& signal = signals_[index];
  if (std::exchange(signal.has_wait_timer, true)) return;
  timers_.push({.at = signal.free_at, .signal = static_cast<uint32_t>(index), .silence = false});
}

void SignalBook::SetSilenceTimer(size_t index) {
  Signal& signal = signals_[index];
  if (signal.silent_after == kLongNanos || std::exchange(signal.has_silence_timer, true)) return;
  timers_.push({.at = signal.heard_at + signal.silent_after, .signal = static_cast<uint32_t>(index), .silence = true});
}

void SignalBook::OnWaitTimer(size_t index, int64_t now, SignalEffects& effects) {
  Signal& signal = signals_[index];
  signal.has_wait_timer = false;
  if (!signal.waiting) return;
  if (now >= signal.free_at) {
    PublishNewest(index, now, effects);
  } else {
    SetWaitTimer(index);  // a value that came before this Tick was published instead, and another waits since
  }
}

void SignalBook::OnSilenceTimer(size_t index, Now now, SignalEffects& effects) {
  Signal& signal = signals_[index];
  signal.has_silence_timer = false;
  if (now.mono.nanos() - signal.heard_at < signal.silent_after) return SetSilenceTimer(index);
  signal.free_at = kLongAgo;
  PublishInvalid(index, now.unix_ms(), effects);
}

void SignalBook::PublishNewest(size_t index, int64_t now, SignalEffects& effects) {
  Signal& signal = signals_[index];
  const bool is_nearly_in_time = now - signal.free_at < signal.period / 4;
  signal.free_at = (is_nearly_in_time ? signal.free_at : now) + signal.period;
  signal.waiting = false;
  signal.state = State::kValid;
  signal.published = signal.newest;
  effects.publish.push_back(PlainText(index));
  effects.samples.push_back(
      {.signal = options_[index].topic, .value = signal.published, .at_unix_ms = signal.newest_unix_ms});
}

void SignalBook::PublishInvalid(size_t index, int64_t at_unix_ms, SignalEffects& effects) {
  Signal& signal = signals_[index];
  signal.waiting = false;
  if (std::exchange(signal.state, State::kInvalid) == State::kInvalid) return;
  effects.publish.push_back(PlainText(index));
  effects.samples.push_back({.signal = options_[index].topic, .value = kNotAvailable, .at_unix_ms = at_unix_ms});
}

Publication SignalBook::PlainText(size_t index) const {
  const SignalOptions& options = options_[index];
  const Signal& signal = signals_[index];
  return {.topic = topics_[index],
          .payload = signal.state == State::kValid ? SignalText(signal.published, options.decimals, options.labels)
                                                   : std::string(kInvalidText),
          .qos = options.qos,
          .retain = options.retain};
}

}  // namespace fleet::device
