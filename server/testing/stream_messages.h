// What a device says on its durable streams, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::server {

// Events `first` to `last`; the name of each is its number.
inline v1::EventBatch EventsOf(uint32_t epoch, uint64_t first, uint64_t last) {
  v1::EventBatch batch;
  batch.set_epoch(epoch);
  batch.set_first_seq(first);
  for (uint64_t seq = first; seq <= last; ++seq) {
    v1::Event& event = *batch.add_events();
    event.set_kind(v1::EVENT_KIND_REPORTED);
    event.set_name(absl::StrCat(seq));
    event.set_detail("detail");
    event.set_at_unix_ms(1000 * seq);
  }
  return batch;
}

// Samples `first` to `last` of two signals in turn; the value of each is its number, they are 10 ms and more apart.
inline v1::TelemetryBatch SamplesOf(uint32_t epoch, uint64_t first, uint64_t last) {
  v1::TelemetryBatch batch;
  batch.set_epoch(epoch);
  batch.set_first_seq(first);
  batch.set_first_unix_ms(1'760'000'000'000);
  batch.add_signals("motor/rpm");
  batch.add_signals("motor/amps");
  for (uint64_t seq = first; seq <= last; ++seq) {
    batch.add_signal(seq % 2);
    batch.add_after_ms(static_cast<int64_t>(10 + seq));
    batch.add_value(static_cast<double>(seq));
  }
  return batch;
}

inline std::vector<int64_t> TimesOf(const v1::TelemetryBatch& batch) {
  std::vector<int64_t> times;
  auto at = static_cast<int64_t>(batch.first_unix_ms());
  for (int64_t step : batch.after_ms()) times.push_back(at += step);
  return times;
}

inline v1::DroppedRange DropOf(v1::DropReason reason, uint64_t first, uint64_t last) {
  v1::DroppedRange range;
  range.set_reason(reason);
  range.set_first_seq(first);
  range.set_last_seq(last);
  return range;
}

inline v1::EpochAccount AccountOf(v1::Stream stream, uint32_t epoch, uint64_t made, uint64_t waiting,
                                  const std::vector<v1::DroppedRange>& dropped = {}) {
  v1::EpochAccount account;
  account.set_stream(stream);
  account.set_epoch(epoch);
  account.set_made(made);
  account.set_waiting(waiting);
  for (const v1::DroppedRange& range : dropped) *account.add_dropped() = range;
  return account;
}

inline v1::LedgerReport ReportOf(uint32_t epoch, uint32_t number, const std::vector<v1::EpochAccount>& accounts) {
  v1::LedgerReport report;
  report.set_epoch(epoch);
  report.set_number(number);
  for (const v1::EpochAccount& account : accounts) *report.add_accounts() = account;
  return report;
}

}  // namespace fleet::server
