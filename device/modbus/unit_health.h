// Whether a Modbus unit answers, and when one that does not may be asked again.
#pragma once

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet::device {

// A unit that is away costs its bus the whole time limit each time that it is asked, and everybody else on a serial
// line waits for that. So:
//
//   Answers --kFailures failures in a row--> SetAside --answer--> Answers
//                                             '--failure--> SetAside, for twice as long, at most kMaxPause
//
// While it is set aside it is asked once when the pause is over; who wants something of it now, a person most likely,
// may be that one already kMinPause after the last time. An exception is an answer. Loop thread only.
class UnitHealth {
 public:
  static constexpr int kFailures = 2;  // one may be noise on the line
  static constexpr absl::Duration kMinPause = absl::Seconds(1);
  static constexpr absl::Duration kMaxPause = absl::Seconds(30);

  enum class Change { kNone, kSetAside, kBack };

  bool is_set_aside() const { return pause_ > absl::ZeroDuration(); }
  bool has_answered() const { return has_answered_; }
  // May a poll go to it?
  bool MayPoll(MonoTime now) const { return !is_set_aside() || (!is_asked_ && now >= failed_at_ + pause_); }
  // May a request or a command?
  bool MayAsk(MonoTime now) const { return !is_set_aside() || (!is_asked_ && now >= failed_at_ + kMinPause); }
  // When it will be asked again by itself.
  MonoTime next_try() const { return failed_at_ + pause_; }

  void Asked() { is_asked_ = is_set_aside(); }
  Change Hear(bool answered, MonoTime now) {
    const bool was_a_try = std::exchange(is_asked_, false);
    if (answered) {
      failures_ = 0;
      has_answered_ = true;
      const bool was_set_aside = is_set_aside();
      pause_ = absl::ZeroDuration();
      return was_set_aside ? Change::kBack : Change::kNone;
    }
    has_answered_ = false;
    if (is_set_aside() && !was_a_try) return Change::kNone;  // it was on the bus already then
    failed_at_ = now;
    if (++failures_ < kFailures) return Change::kNone;
    const bool is_new = !is_set_aside();
    pause_ = is_new ? kMinPause : std::min(2 * pause_, kMaxPause);
    return is_new ? Change::kSetAside : Change::kNone;
  }

 private:
  int failures_ = 0;           // in a row
  bool has_answered_ = false;  // the last time
  bool is_asked_ = false;      // while it is set aside, there is one who tries
  MonoTime failed_at_;
  absl::Duration pause_;  // zero: not set aside
};

}  // namespace fleet::device
