#include "server/telemetry_slice.h"

#include <algorithm>

#include "server/ingest.h"

namespace fleet::server {
namespace {

// Times as they come may be anything, so sums of them wrap like unsigned numbers do.
uint64_t Plus(uint64_t sum, int64_t step) {
  return sum + static_cast<uint64_t>(step);
}

int64_t Believable(uint64_t unix_ms) {
  return std::clamp<int64_t>(static_cast<int64_t>(unix_ms), 0, kMaxUnixMs);
}

v1::TelemetryBatch Slice(const v1::TelemetryBatch& batch, int begin, int end) {
  v1::TelemetryBatch slice;
  slice.set_epoch(batch.epoch());
  slice.set_first_seq(batch.first_seq() + static_cast<uint64_t>(begin));
  slice.set_first_unix_ms(batch.first_unix_ms());
  slice.set_backlog(batch.backlog());
  *slice.mutable_signals() = batch.signals();
  uint64_t since_first = 0;
  for (int i = 0; i < begin; ++i) since_first = Plus(since_first, batch.after_ms(i));
  for (int i = begin; i < end; ++i) {
    slice.add_signal(batch.signal(i));
    slice.add_after_ms(static_cast<int64_t>(Plus(since_first, batch.after_ms(i))));
    slice.add_value(batch.value(i));
    since_first = 0;  // of the others it is since the one before
  }
  return slice;
}

}  // namespace

TelemetryRow SliceTelemetry(const v1::TelemetryBatch& batch, NumberRange part) {
  const auto begin = static_cast<int>(part.first - batch.first_seq());
  const auto end = static_cast<int>(part.last - batch.first_seq()) + 1;
  TelemetryRow row{.device_row = 0,
                   .epoch = batch.epoch(),
                   .first_seq = part.first,
                   .samples = part.count(),
                   .first_unix_ms = kMaxUnixMs,
                   .backlog = batch.backlog()};
  uint64_t at = batch.first_unix_ms();
  for (int i = 0; i < end; ++i) {
    at = Plus(at, batch.after_ms(i));
    if (i < begin) continue;
    row.first_unix_ms = std::min(row.first_unix_ms, Believable(at));
    row.last_unix_ms = std::max(row.last_unix_ms, Believable(at));
  }
  const bool whole = begin == 0 && end == batch.value_size();
  row.batch = whole ? batch.SerializeAsString() : Slice(batch, begin, end).SerializeAsString();
  return row;
}

}  // namespace fleet::server
