#include "device/telemetry_columns.h"

#include <algorithm>
#include <utility>

namespace fleet::device {
namespace {

constexpr size_t kFixedBytes = 64;              // the single fields, and the heads of the columns
constexpr size_t kBytesPerSample = 8 + 2 + 10;  // value, index below 2^14, time difference at the worst
constexpr size_t kBytesPerName = 2;             // its head

}  // namespace

bool TelemetryColumns::HasRoomFor(const Sample& sample) const {
  const size_t name = index_.contains(sample.signal) ? 0 : sample.signal.size() + kBytesPerName;
  return kFixedBytes + bytes_ + kBytesPerSample + name <= kMaxBytes;
}

void TelemetryColumns::Add(const Sample& sample, uint64_t seq) {
  const int64_t at = std::max<int64_t>(sample.at_unix_ms, 0);
  if (empty()) {
    batch_.set_first_seq(seq);
    batch_.set_first_unix_ms(static_cast<uint64_t>(at));
    last_unix_ms_ = at;
  }
  const auto [known, is_new] = index_.try_emplace(sample.signal, static_cast<uint32_t>(batch_.signals_size()));
  if (is_new) {
    batch_.add_signals(sample.signal);
    bytes_ += sample.signal.size() + kBytesPerName;
  }
  batch_.add_signal(known->second);
  batch_.add_after_ms(at - std::exchange(last_unix_ms_, at));
  batch_.add_value(sample.value);
  bytes_ += kBytesPerSample;
}

v1::TelemetryBatch TelemetryColumns::Take() {
  index_.clear();
  bytes_ = 0;
  return std::exchange(batch_, {});
}

}  // namespace fleet::device
