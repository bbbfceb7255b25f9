#include "device/server_time.h"

#include <algorithm>
#include <limits>

namespace fleet::device {
namespace {

constexpr int64_t kDriftMsPerSecond = 1;
// Year 36812. What is later is nonsense, and must not overflow.
constexpr uint64_t kLatestMs = uint64_t{1} << 50;

}  // namespace

bool ServerTime::Hear(const v1::ServerBeat& beat, MonoTime now) {
  if (beat.steady_unix_ms() > kLatestMs) return false;
  const int64_t offset_ms = static_cast<int64_t>(beat.steady_unix_ms()) - now.millis();
  if (server_epoch_ == beat.server_epoch() && offset_ms < offset_ms_) {
    const int64_t drift_ms = absl::ToInt64Seconds(now - measured_at_) * kDriftMsPerSecond;
    if (offset_ms < offset_ms_ - drift_ms) return true;
  }
  if (server_epoch_ && server_epoch_ != beat.server_epoch()) {
    earlier_offset_ms_ = OffsetMs(now);
    earlier_until_ = now + kSettle;
  }
  server_epoch_ = beat.server_epoch();
  offset_ms_ = offset_ms;
  measured_at_ = now;
  return true;
}

std::optional<int64_t> ServerTime::NowMs(MonoTime now) const {
  if (!server_epoch_) return std::nullopt;
  return now.millis() + OffsetMs(now);
}

int64_t ServerTime::OffsetMs(MonoTime now) const {
  return now < earlier_until_ ? std::max(offset_ms_, earlier_offset_ms_) : offset_ms_;
}

}  // namespace fleet::device
