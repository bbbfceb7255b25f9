#include "device/backlog_pacer.h"

#include <utility>

namespace fleet::device {

void BacklogPacer::Receipted(size_t bytes, MonoTime sent_at, MonoTime now) {
  Forget(bytes);
  const absl::Duration took = now - sent_at;
  SawReceipt(took, now);
  if (judge_from_ == MonoTime::Max()) judge_from_ = now;
  if (sent_at < judge_from_) return;
  const absl::Duration delay = took - best();
  if (now >= ceiling_until_) ceiling_bytes_ = kMaxWindowBytes;
  if (delay <= kGrowBelow) SetWindow(std::min(window_bytes_ + window_bytes_ / 2, ceiling_bytes_), now + took);
  if (delay > kMaxDelay) Shrink(now, now + took);
}

void BacklogPacer::Lost(size_t bytes, MonoTime sent_at, MonoTime now) {
  Forget(bytes);
  if (judge_from_ == MonoTime::Max() || sent_at >= judge_from_) Shrink(now, now);
}

void BacklogPacer::SawReceipt(absl::Duration took, MonoTime now) {
  if (now - best_since_ >= kBestKept) {
    best_before_ = std::exchange(best_, took);
    best_since_ = now;
    if (window_bytes_ > kMinWindowBytes) SetWindow(kMinWindowBytes, now + took);
  }
  best_ = std::min(best_, took);
}

void BacklogPacer::Shrink(MonoTime now, MonoTime judge_from) {
  ceiling_bytes_ = window_bytes_ - window_bytes_ / 4;
  ceiling_until_ = now + kCeilingKept;
  SetWindow(window_bytes_ / 2, judge_from);
}

void BacklogPacer::SetWindow(size_t bytes, MonoTime judge_from) {
  window_bytes_ = std::clamp(bytes, kMinWindowBytes, kMaxWindowBytes);
  judge_from_ = judge_from;
}

}  // namespace fleet::device
