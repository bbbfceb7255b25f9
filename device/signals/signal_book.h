// What is published of the signals that a bus brings, and when.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/signals/signal_effects.h"
#include "device/signals/signal_text.h"

namespace fleet::device {

struct SignalOptions {
  std::string topic;                             // below rpi/<id>/, and the name of its samples
  absl::Duration period = absl::ZeroDuration();  // zero: every value
  bool on_change = false;
  double dead_band = 0;                                    // of on_change
  absl::Duration silent_after = absl::InfiniteDuration();  // infinite: it may be silent for ever
  int qos = 0;                                             // of the plain text
  bool retain = false;                                     // likewise
  int decimals = -1;                                       // see SignalText
  std::vector<SignalLabel> labels;                         // sorted
};

// A signal as it is known now, published or not.
struct CurrentSignal {
  std::string name;
  std::string text;      // as its plain text: a number, a word, or kInvalidText
  bool is_word = false;  // the text says more than the number
  double value = 0;      // NaN: invalid, or there is nothing but a word
  MonoTime heard_at;
};

// Each publication is one plain text, the number or a label's word, and one sample, the number.
//
//   Unknown --value--> Valid --not available, silence--> Invalid --value--> Valid        Unknown --both--> Invalid
//
// The first value is published at once. With a period, later ones are at most once in it: the newest, and only if one
// came. With on_change, only one that differs by more than dead_band from what was published last. With both, the
// newest change within a period comes when it is over, unless it has been taken back by then. A period begins with a
// publication; one that came late by less than a quarter does not delay those after it, so that a source of the same
// period loses nothing to jitter.
// Becoming invalid is told once and at once: `invalid` and a sample of NaN. The first value after silence comes at
// once; after "not available" it waits for its period, so that a flapping source stays bounded. A signal that is never
// heard is invalid when silent_after is over from the first Tick.
//
// Loop thread only. An update that publishes nothing allocates nothing and costs O(1); one that does, or that begins a
// wait, O(log signals), at most once in a period.
class SignalBook {
 public:
  SignalBook(const DeviceId& device, std::vector<SignalOptions> signals);

  size_t size() const { return signals_.size(); }
  const std::string& topic(size_t signal) const { return options_[signal].topic; }

  // `signal`: index into what the constructor was given. A value that is not finite: the source says "not available".
  void Update(size_t signal, double value, int64_t at_unix_ms, MonoTime now, SignalEffects& effects);
  // The same as an update that says "not available": the source refuses, or its node has started anew.
  void Invalidate(size_t signal, int64_t at_unix_ms, MonoTime now, SignalEffects& effects);

  void Tick(Now now, SignalEffects& effects);
  // When to call Tick next: never too late, at times too early.
  MonoTime NextDue() const;

  // The link is back: the plain text of signals that may be long without another, which are the invalid ones and those
  // of on_change, is published again. No samples: those were kept.
  void Resume(SignalEffects& effects) const;

  // All signals that were heard of, valid or not, with their newest values.
  void AppendCurrent(std::vector<CurrentSignal>& out) const;

 private:
  enum class State : uint8_t { kUnknown, kValid, kInvalid };

  // What an update touches, small and together. Times and durations in nanoseconds, as of MonoTime.
  struct Signal {
    double newest = 0;
    double published = 0;  // while valid
    double dead_band = 0;
    int64_t newest_unix_ms = 0;
    int64_t heard_at = 0;
    int64_t free_at = 0;  // from then on the next value may be published
    int64_t period = 0;
    int64_t silent_after = 0;
    State state = State::kUnknown;
    bool on_change = false;
    bool waiting = false;  // newest waits for free_at
    bool has_wait_timer = false;
    bool has_silence_timer = false;
  };
  // At most one of each kind for a signal. One that goes off too early is set again, so that no value has to move it.
  struct Timer {
    int64_t at;
    uint32_t signal;
    bool silence;
    auto operator<=>(const Timer&) const = default;  // what waits is told before it is silent
  };

  bool IsWorthTelling(const Signal& signal) const;
  void SetWaitTimer(size_t index);
  void SetSilenceTimer(size_t index);
  void OnWaitTimer(size_t index, int64_t now, SignalEffects& effects);
  void OnSilenceTimer(size_t index, Now now, SignalEffects& effects);
  void PublishNewest(size_t index, int64_t now, SignalEffects& effects);
  void PublishInvalid(size_t index, int64_t at_unix_ms, SignalEffects& effects);
  Publication PlainText(size_t index) const;

  const std::vector<SignalOptions> options_;
  std::vector<std::string> topics_;  // in full
  std::vector<Signal> signals_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  bool has_ticked_ = false;
};

}  // namespace fleet::device
