// How much of the backlog may be on its way at once, so that it uses what a link leaves and live messages do not wait
// behind it.
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet::device {

// A window of bytes. What queues up on a slow link shows as receipts that take longer than the fastest one: below
// kGrowBelow more the window grows by half, so that it then costs at most kMaxDelay; above kMaxDelay it halves, and for
// kCeilingKept it does not come near that size again. With the one batch that is always allowed a live message
// waits 50 ms at most where a batch takes 30. A change shows when what was sent before it has arrived: only a batch
// that was sent a round trip after the last change is judged.
//
// The fastest receipt is that of the last one to two kBestKept, for the path to the server may become another; at the
// end of each the window falls to one batch, so that the path is measured without a queue. Loop thread only. Starts
// anew with each connection.
class BacklogPacer {
 public:
  static constexpr size_t kFirstWindowBytes = 2800;
  static constexpr size_t kMinWindowBytes = 1400;  // one batch always may
  static constexpr size_t kMaxWindowBytes = 64 << 10;
  static constexpr absl::Duration kGrowBelow = absl::Milliseconds(10);
  static constexpr absl::Duration kMaxDelay = absl::Milliseconds(20);
  static constexpr absl::Duration kCeilingKept = absl::Seconds(30);
  static constexpr absl::Duration kBestKept = absl::Minutes(1);

  bool MaySend(size_t bytes) const { return in_flight_bytes_ == 0 || in_flight_bytes_ + bytes <= window_bytes_; }

  void Sent(size_t bytes) { in_flight_bytes_ += bytes; }
  void Receipted(size_t bytes, MonoTime sent_at, MonoTime now);
  void Lost(size_t bytes, MonoTime sent_at, MonoTime now);
  void Forget(size_t bytes) { in_flight_bytes_ -= std::min(bytes, in_flight_bytes_); }  // it was given up
  // Of a live message: what a receipt takes when no backlog is before it.
  void SawReceipt(absl::Duration took, MonoTime now);

  size_t window_bytes() const { return window_bytes_; }
  size_t in_flight_bytes() const { return in_flight_bytes_; }

 private:
  absl::Duration best() const { return std::min(best_, best_before_); }
  void SetWindow(size_t bytes, MonoTime judge_from);
  void Shrink(MonoTime now, MonoTime judge_from);

  size_t window_bytes_ = kFirstWindowBytes;
  size_t in_flight_bytes_ = 0;
  size_t ceiling_bytes_ = kMaxWindowBytes;
  MonoTime ceiling_until_;
  MonoTime judge_from_ = MonoTime::Max();                  // what was sent since then; Max: since the first receipt
  absl::Duration best_ = absl::InfiniteDuration();         // since best_since_
  absl::Duration best_before_ = absl::InfiniteDuration();  // in the kBestKept before it
  MonoTime best_since_;
};

}  // namespace fleet::device
