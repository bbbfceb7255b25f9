#include "server/telemetry_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "server/sample_times.h"

namespace fleet::server {
namespace {

// A device's clock that is further off is wrong.
constexpr int64_t kClockToleranceMs = 60'000;

bool Fits(const v1::TelemetryBatch& batch, uint64_t samples) {
  const int count = batch.value_size();
  const auto names = static_cast<uint32_t>(batch.signals_size());
  return static_cast<uint64_t>(count) == samples && batch.signal_size() == count && batch.after_ms_size() == count &&
         std::ranges::all_of(batch.signal(), [names](uint32_t signal) { return signal < names; });
}

void BindTelemetry(const TelemetryRow& row, int64_t block, absl::string_view data, Statement& insert) {
  block == 0 ? insert.BindNull(1) : insert.BindInt(1, block);
  insert.BindInt(2, row.device_row);
  insert.BindInt(3, row.epoch);
  insert.BindInt(4, static_cast<int64_t>(row.first_seq));
  insert.BindInt(5, static_cast<int64_t>(row.samples));
  insert.BindInt(6, row.first_unix_ms);
  insert.BindInt(7, row.last_unix_ms);
  insert.BindInt(8, row.received_unix_ms);
  insert.BindInt(9, row.backlog ? 1 : 0);
  insert.BindBlob(10, data);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TelemetryTable>> TelemetryTable::Open(Database& database) {
  std::unique_ptr<TelemetryTable> table(new TelemetryTable(database));
  const std::pair<Statement*, absl::string_view> statements[] = {
      {&table->load_, "SELECT number, name, last_unix_ms FROM signal WHERE device = ?"},
      {&table->add_, "INSERT INTO signal VALUES (NULL, ?, ?, NULL, 0)"},
      {&table->insert_, "INSERT INTO telemetry VALUES (?,?,?,?,?,?,?,?,?,?)"},
      {&table->newest_, "UPDATE signal SET last_value = ?, last_unix_ms = ? WHERE number = ?"},
  };
  for (const auto& [statement, sql] : statements) {
    ASSIGN_OR_RETURN(*statement, database.Prepare(sql));
  }
  return table;
}

absl::StatusOr<uint64_t> TelemetryTable::Write(const TelemetryRow& row, int64_t block) {
  if (!batch_.ParseFromString(row.batch) || !Fits(batch_, row.samples)) {
    return absl::InvalidArgumentError(absl::StrCat("a row of ", row.samples, " samples holds another batch"));
  }
  ASSIGN_OR_RETURN(Device * device, DeviceOf(row.device_row));
  ASSIGN_OR_RETURN(const uint64_t nameless, Pack(row, *device));
  BindTelemetry(row, block, block_.SerializeAsString(), insert_);
  RETURN_IF_ERROR(insert_.Run());
  return nameless;
}

absl::StatusOr<TelemetryTable::Device*> TelemetryTable::DeviceOf(int64_t device_row) {
  const auto [known, is_new] = devices_.try_emplace(device_row);
  Device& device = known->second;
  if (!is_new) return &device;
  load_.BindInt(1, device_row);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, load_.Step());
    if (!found) return &device;
    Remember(device, std::string(load_.Text(1)), load_.Int(0), load_.Int(2));
  }
}

TelemetryTable::Signal* TelemetryTable::Remember(Device& device, const std::string& name, int64_t number,
                                                 int64_t at_unix_ms) {
  signals_.push_back({.number = number, .at_unix_ms = at_unix_ms});
  return device.signals[name] = &signals_.back();
}

absl::StatusOr<TelemetryTable::Signal*> TelemetryTable::FindOrAdd(int64_t device_row, Device& device,
                                                                  const std::string& name) {
  const auto found = device.signals.find(name);
  if (found != device.signals.end()) return found->second;
  if (device.signals.size() >= kMaxSignals) {
    if (!std::exchange(device.is_full, true)) {
      LogWarn("device has too many signals, samples of others lose their name device_row={} signals={} signal={}",
              device_row, kMaxSignals, absl::CHexEscape(name));
    }
    return nullptr;
  }
  add_.BindInt(1, device_row);
  add_.BindText(2, name);
  RETURN_IF_ERROR(add_.Run());
  return Remember(device, name, database_.last_insert_rowid(), 0);
}

absl::StatusOr<uint64_t> TelemetryTable::Pack(const TelemetryRow& row, Device& device) {
  block_.Clear();
  in_block_.clear();
  index_of_.assign(static_cast<size_t>(batch_.signals_size()), -1);
  uint64_t nameless = 0;
  SampleTimes times(batch_.first_unix_ms());
  int64_t before_unix_ms = row.first_unix_ms;
  for (int i = 0; i < batch_.value_size(); ++i) {
    const uint32_t name = batch_.signal(i);
    int& index = index_of_[name];
    if (index < 0) {
      index = block_.signals_size();
      ASSIGN_OR_RETURN(in_block_.emplace_back(),
                       FindOrAdd(row.device_row, device, batch_.signals(static_cast<int>(name))));
      block_.add_signals(in_block_.back() == nullptr ? 0 : static_cast<uint64_t>(in_block_.back()->number));
    }
    const int64_t at_unix_ms = times.Next(batch_.after_ms(i));
    block_.add_signal(static_cast<uint32_t>(index));
    block_.add_after_ms(at_unix_ms - std::exchange(before_unix_ms, at_unix_ms));
    Signal* const signal = in_block_[static_cast<size_t>(index)];
    if (signal == nullptr) {
      ++nameless;
    } else {
      Note(*signal, at_unix_ms, batch_.value(i), row);
    }
  }
  block_.mutable_value()->Swap(batch_.mutable_value());
  return nameless;
}

void TelemetryTable::Note(Signal& signal, int64_t at_unix_ms, double value, const TelemetryRow& row) {
  // What is live is newer, when the clock that said the time of either is wrong: one that was far ahead must not stand
  // for good, nor one that goes back hide what follows.
  const bool clock_is_wrong = signal.at_unix_ms > row.received_unix_ms + kClockToleranceMs ||
                              at_unix_ms < row.received_unix_ms - kClockToleranceMs;
  if (at_unix_ms < signal.at_unix_ms && (row.backlog || !clock_is_wrong)) return;
  signal.at_unix_ms = at_unix_ms;
  signal.value = value;
  if (!std::exchange(signal.changed, true)) changed_.push_back(&signal);
}

absl::Status TelemetryTable::Finish() {
  for (Signal* const signal : changed_) {
    std::isfinite(signal->value) ? newest_.BindReal(1, signal->value) : newest_.BindNull(1);
    newest_.BindInt(2, signal->at_unix_ms);
    newest_.BindInt(3, signal->number);
    RETURN_IF_ERROR(newest_.Run());
    signal->changed = false;
  }
  changed_.clear();
  if (signals_.size() > kMaxInMemory) Forget();
  return absl::OkStatus();
}

void TelemetryTable::Forget() {
  devices_.clear();
  changed_.clear();
  signals_.clear();
}

}  // namespace fleet::server
