#include "server/telemetry_slice.h"

#include <algorithm>

#include "server/ingest.h"
#include "server/sample_times.h"

namespace fleet::server {
namespace {

v1::TelemetryBatch Slice(const v1::TelemetryBatch& batch, int begin, int end) {
  v1::TelemetryBatch slice;
  slice.set_epoch(batch.epoch());
  slice.set_first_seq(batch.first_seq() + static_cast<uint64_t>(begin));
  slice.set_first_unix_ms(batch.first_unix_ms());
  slice.set_backlog(batch.backlog());
  *slice.mutable_signals() = batch.signals();
  uint64_t since_first = 0;  // wraps, as SampleTimes does
  for (int i = 0; i < begin; ++i) since_first += static_cast<uint64_t>(batch.after_ms(i));
  for (int i = begin; i < end; ++i) {
    slice.add_signal(batch.signal(i));
    slice.add_after_ms(static_cast<int64_t>(since_first + static_cast<uint64_t>(batch.after_ms(i))));
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
  SampleTimes times(batch.first_unix_ms());
  for (int i = 0; i < end; ++i) {
    const int64_t at_unix_ms = times.Next(batch.after_ms(i));
    if (i < begin) continue;
    row.first_unix_ms = std::min(row.first_unix_ms, at_unix_ms);
    row.last_unix_ms = std::max(row.last_unix_ms, at_unix_ms);
  }
  const bool whole = begin == 0 && end == batch.value_size();
  row.batch = whole ? batch.SerializeAsString() : Slice(batch, begin, end).SerializeAsString();
  return row;
}

}  // namespace fleet::server
