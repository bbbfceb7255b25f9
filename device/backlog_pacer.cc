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
  if (delay <= kGrowBelow) SetWindow(window_bytes_ + window_bytes_ / 2, now + took);
  if (delay > kMaxDelay) SetWindow(window_bytes_ / 2, now + took);
}

void BacklogPacer::Lost(size_t bytes, MonoTime sent_at, MonoTime now) {
  Forget(bytes);
  if (judge_from_ == MonoTime::Max() || sent_at >= judge_from_) SetWindow(window_bytes_ / 2, now);
}

void BacklogPacer::SawReceipt(absl::Duration took, MonoTime now) {
  if (now - best_since_ >= kBestKept) {
    best_before_ = std::exchange(best_, took);
    best_since_ = now;
  }
  best_ = std::min(best_, took);
}

void BacklogPacer::SetWindow(size_t bytes, MonoTime judge_from) {
  window_bytes_ = std::clamp(bytes, kMinWindowBytes, kMaxWindowBytes);
  judge_from_ = judge_from;
}

}  // namespace fleet::device
