#include "server/streams.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/v1/storage.pb.h"
#include "server/ingest.h"
#include "server/telemetry_slice.h"

namespace fleet::server {
namespace {

// Numbers of the range that are neither stored nor dropped.
std::vector<NumberRange> InFlight(const StreamAccount& account, NumberRange range) {
  std::vector<NumberRange> open = account.stored.Missing(range);
  for (const auto& [reason, numbers] : account.dropped) {
    std::vector<NumberRange> still_open;
    for (const NumberRange& hole : open) {
      const std::vector<NumberRange> missing = numbers.Missing(hole);
      still_open.insert(still_open.end(), missing.begin(), missing.end());
    }
    open = std::move(still_open);
  }
  return open;
}

void Drop(StreamAccount& account, v1::DropReason reason, NumberRange range) {
  for (const NumberRange& hole : InFlight(account, range)) account.dropped[reason].Add(hole);
}

// The device has nothing of this epoch any more.
void CloseHoles(StreamAccount& account) {
  account.waiting = 0;
  if (account.in_flight() > 0) Drop(account, v1::DROP_REASON_CRASH, {1, account.made});
}

size_t DroppedRanges(const StreamAccount& account) {
  size_t count = 0;
  for (const auto& [reason, numbers] : account.dropped) count += numbers.ranges().size();
  return count;
}

std::string ComplaintOf(const StreamAccount& account, uint64_t made, uint64_t waiting) {
  uint64_t in_flight = 0;
  if (made > 0) {
    for (const NumberRange& hole : InFlight(account, {1, made})) in_flight += hole.count();
  }
  if (in_flight <= waiting) return "";
  return absl::StrCat("epoch ", account.epoch, ": ", in_flight, " of ", made,
                      " records are in flight, but the device has ", waiting);
}

std::string Pack(const StreamAccount& account) {
  v1::StreamRanges ranges;
  for (const auto& [first, last] : account.stored.ranges()) {
    ranges.add_stored(first);
    ranges.add_stored(last);
  }
  for (const auto& [reason, numbers] : account.dropped) {
    for (const auto& [first, last] : numbers.ranges()) {
      v1::DroppedRange& dropped = *ranges.add_dropped();
      dropped.set_reason(reason);
      dropped.set_first_seq(first);
      dropped.set_last_seq(last);
    }
  }
  return ranges.SerializeAsString();
}

void AddTo(StreamTotals& totals, const StreamAccount& account) {
  totals.sent += account.made;
  totals.stored += account.stored.size();
  totals.duplicate += account.duplicate;
  for (const auto& [reason, numbers] : account.dropped) {
    if (numbers.size() > 0) totals.dropped[reason] += numbers.size();
  }
}

}  // namespace

uint64_t StreamAccount::dropped_count() const {
  uint64_t count = 0;
  for (const auto& [reason, numbers] : dropped) count += numbers.size();
  return count;
}

uint64_t StreamTotals::dropped_count() const {
  uint64_t count = 0;
  for (const auto& [reason, number] : dropped) count += number;
  return count;
}

void DeviceStreams::Restore(const StreamTotalsRow& row) {
  StreamState& state = streams_[row.stream];
  state.settled_below = row.settled_below;
  state.settled = {.sent = row.sent, .stored = row.stored, .duplicate = row.duplicate, .dropped = row.dropped};
}

void DeviceStreams::Restore(const StreamAccountRow& row) {
  StreamState& state = streams_[row.stream];
  StreamAccount& account = state.open[row.epoch];
  account.epoch = row.epoch;
  account.made = row.made;
  account.duplicate = row.duplicate;
  account.waiting = row.waiting;
  account.reported_unix_ms = row.reported_unix_ms;
  state.reported_unix_ms = std::max(state.reported_unix_ms, row.reported_unix_ms);
  v1::StreamRanges ranges;
  ranges.ParseFromString(row.ranges);  // the store has checked it
  for (int i = 0; i + 1 < ranges.stored_size(); i += 2) account.stored.Add({ranges.stored(i), ranges.stored(i + 1)});
  for (const v1::DroppedRange& dropped : ranges.dropped()) {
    account.dropped[dropped.reason()].Add({dropped.first_seq(), dropped.last_seq()});
  }
}

std::optional<std::vector<NumberRange>> DeviceStreams::Take(const v1::EventBatch& batch, Now now, RowBatch& rows) {
  const uint64_t first = batch.first_seq();
  const NumberRange range{first, first + static_cast<uint64_t>(batch.events_size()) - 1};
  auto fresh = Book(v1::STREAM_EVENT, batch.epoch(), range, rows);
  if (!fresh) return fresh;
  for (const NumberRange& part : *fresh) {
    for (uint64_t seq = part.first; seq <= part.last; ++seq) {
      rows.events.push_back({.device_row = device_row_,
                             .epoch = batch.epoch(),
                             .seq = seq,
                             .event = batch.events(static_cast<int>(seq - first)),
                             .received_unix_ms = now.unix_ms(),
                             .backlog = batch.backlog()});
    }
  }
  return fresh;
}

std::optional<std::vector<NumberRange>> DeviceStreams::Take(const v1::TelemetryBatch& batch, Now now, RowBatch& rows) {
  const NumberRange range{batch.first_seq(), batch.first_seq() + static_cast<uint64_t>(batch.value_size()) - 1};
  auto fresh = Book(v1::STREAM_TELEMETRY, batch.epoch(), range, rows);
  if (!fresh) return fresh;
  for (const NumberRange& part : *fresh) {
    TelemetryRow row = SliceTelemetry(batch, part);
    row.device_row = device_row_;
    row.received_unix_ms = now.unix_ms();
    rows.telemetry.push_back(std::move(row));
  }
  return fresh;
}

std::optional<std::vector<NumberRange>> DeviceStreams::Book(v1::Stream stream, uint32_t epoch, NumberRange range,
                                                            RowBatch& rows) {
  StreamState& state = streams_[stream];
  if (epoch < state.settled_below) {
    state.settled.duplicate += range.count();
    WriteTotals(stream, state, rows);
    return std::vector<NumberRange>();
  }
  StreamAccount* account = FindOrOpen(state, epoch);
  if (account == nullptr) return std::nullopt;
  const bool touches = account->stored.CountWithin({range.first - 1, range.last + 1}) > 0;
  if (!touches && account->stored.ranges().size() >= kMaxRanges) return std::nullopt;
  std::vector<NumberRange> fresh = account->stored.Missing(range);
  account->duplicate += range.count() - account->stored.Add(range);
  // What arrives after all was not dropped.
  for (auto& [reason, numbers] : account->dropped) numbers.Remove(range);
  account->made = std::max(account->made, range.last);
  Write(stream, *account, rows);
  return fresh;
}

bool DeviceStreams::Take(const v1::LedgerReport& report, Now now, RowBatch& rows) {
  if (std::pair(report.epoch(), report.number()) < std::pair(life_, report_number_)) return false;
  life_ = report.epoch();
  report_number_ = report.number();
  for (auto& [stream, state] : streams_) state.complaint.clear();
  bool complete = true;
  std::map<v1::Stream, std::vector<uint32_t>> mentioned;
  for (const v1::EpochAccount& said : report.accounts()) {
    complete = TakeAccount(said, now.unix_ms()) && complete;
    mentioned[said.stream()].push_back(said.epoch());
  }
  for (auto& [stream, state] : streams_) {
    for (auto& [epoch, account] : state.open) {
      // One that the report leaves out although it has room: nothing of it is left.
      const bool gone = epoch < life_ && report.accounts_size() < kMaxAccountsPerReport &&
                        std::ranges::count(mentioned[stream], epoch) == 0;
      if (!gone) continue;
      account.reported_unix_ms = now.unix_ms();
      CloseHoles(account);
    }
    SettleOver(stream, rows);
    for (const auto& [epoch, account] : state.open) Write(stream, account, rows);
  }
  return complete;
}

bool DeviceStreams::TakeAccount(const v1::EpochAccount& said, int64_t now_unix_ms) {
  StreamState& state = streams_[said.stream()];
  if (said.epoch() < state.settled_below) return true;
  StreamAccount* account = FindOrOpen(state, said.epoch());
  if (account == nullptr) return false;
  account->made = std::max(account->made, said.made());
  account->waiting = said.waiting();
  account->reported_unix_ms = state.reported_unix_ms = now_unix_ms;
  for (const v1::DroppedRange& dropped : said.dropped()) {
    if (DroppedRanges(*account) >= kMaxRanges) break;  // stays in flight, and is complained of
    Drop(*account, dropped.reason(), {dropped.first_seq(), dropped.last_seq()});
  }
  // What an earlier life had in memory only is in flight until nothing of it waits, and that is no fault.
  if (said.epoch() == life_) state.complaint = ComplaintOf(*account, said.made(), said.waiting());
  if (said.epoch() < life_ && said.waiting() == 0) CloseHoles(*account);
  return true;
}

void DeviceStreams::SettleOver(v1::Stream stream, RowBatch& rows) {
  StreamState& state = streams_[stream];
  const uint64_t before = state.settled_below;
  while (!state.open.empty()) {
    const auto& [epoch, account] = *state.open.begin();
    const bool over = epoch < life_ && account.reported_unix_ms != 0 && account.waiting == 0;
    if (!over || account.in_flight() != 0) break;
    SettleOldest(stream, state, rows);
  }
  if (state.settled_below != before) WriteTotals(stream, state, rows);
}

void DeviceStreams::SettleOldest(v1::Stream stream, StreamState& state, RowBatch& rows) const {
  const auto oldest = state.open.begin();
  CloseHoles(oldest->second);
  AddTo(state.settled, oldest->second);
  Write(stream, oldest->second, rows, /*settled=*/true);
  state.settled_below = uint64_t{oldest->first} + 1;
  state.open.erase(oldest);
}

StreamAccount* DeviceStreams::FindOrOpen(StreamState& state, uint32_t epoch) {
  const auto found = state.open.find(epoch);
  if (found != state.open.end()) return &found->second;
  if (state.open.size() >= kMaxEpochs) return nullptr;
  StreamAccount& account = state.open[epoch];
  account.epoch = epoch;
  return &account;
}

void DeviceStreams::Unstore(v1::Stream stream, uint32_t epoch, const std::vector<NumberRange>& ranges) {
  StreamState& state = streams_[stream];
  const auto found = state.open.find(epoch);
  if (found != state.open.end()) {
    for (const NumberRange& range : ranges) found->second.stored.Remove(range);
    return;
  }
  for (const NumberRange& range : ranges) {
    state.settled.stored -= range.count();
    state.settled.dropped[v1::DROP_REASON_CRASH] += range.count();
  }
}

void DeviceStreams::DiskLost(uint32_t epoch, RowBatch& rows) {
  life_ = report_number_ = 0;
  rows.events.push_back({.device_row = device_row_, .event = {}, .disk_lost = true});
  for (auto& [stream, state] : streams_) {
    while (!state.open.empty()) SettleOldest(stream, state, rows);
    state.settled_below = epoch;
    state.complaint.clear();
    WriteTotals(stream, state, rows);
  }
}

void DeviceStreams::WriteAll(RowBatch& rows) const {
  for (const auto& [stream, state] : streams_) {
    WriteTotals(stream, state, rows);
    for (const auto& [epoch, account] : state.open) Write(stream, account, rows);
  }
}

void DeviceStreams::Write(v1::Stream stream, const StreamAccount& account, RowBatch& rows, bool settled) const {
  // In a backlog one batch follows the other: the last row says it all.
  if (!rows.stream_accounts.empty()) {
    const StreamAccountRow& last = rows.stream_accounts.back();
    const bool same = last.device_row == device_row_ && last.stream == stream && last.epoch == account.epoch;
    if (same) rows.stream_accounts.pop_back();
  }
  rows.stream_accounts.push_back({.device_row = device_row_,
                                  .stream = stream,
                                  .epoch = account.epoch,
                                  .made = account.made,
                                  .duplicate = account.duplicate,
                                  .waiting = account.waiting,
                                  .reported_unix_ms = account.reported_unix_ms,
                                  .ranges = Pack(account),
                                  .settled = settled});
}

void DeviceStreams::WriteTotals(v1::Stream stream, const StreamState& state, RowBatch& rows) const {
  rows.stream_totals.push_back({.device_row = device_row_,
                                .stream = stream,
                                .settled_below = state.settled_below,
                                .sent = state.settled.sent,
                                .stored = state.settled.stored,
                                .duplicate = state.settled.duplicate,
                                .dropped = state.settled.dropped});
}

StreamTotals DeviceStreams::Totals(v1::Stream stream) const {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return {};
  StreamTotals totals = found->second.settled;
  for (const auto& [epoch, account] : found->second.open) AddTo(totals, account);
  return totals;
}

uint64_t DeviceStreams::waiting(v1::Stream stream) const {
  uint64_t count = 0;
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return count;
  for (const auto& [epoch, account] : found->second.open) count += account.waiting;
  return count;
}

int64_t DeviceStreams::reported_unix_ms(v1::Stream stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? 0 : found->second.reported_unix_ms;
}

std::string DeviceStreams::Complaint(v1::Stream stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? "" : found->second.complaint;
}

bool DeviceStreams::balanced() const {
  return std::ranges::all_of(streams_, [](const auto& entry) { return entry.second.complaint.empty(); });
}

}  // namespace fleet::server
