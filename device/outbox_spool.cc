// The disk's part of the Outbox: what goes to the spool and what comes back.
#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "device/outbox.h"

namespace fleet::device {
namespace {

template <typename T>
void MoveTo(std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}
template <typename T>
void PutBefore(const std::vector<T>& older, std::vector<T>& newer) {
  newer.insert(newer.begin(), older.begin(), older.end());
}

bool IsWithin(const StreamBatch& batch, const StreamDrop& drop) {
  return batch.stream == drop.stream && batch.epoch == drop.epoch && batch.first_seq >= drop.range.first_seq() &&
         batch.first_seq <= drop.range.last_seq();
}

}  // namespace

void Outbox::Flush(Now now, Effects& effects) {
  CloseEvents(now);
  CloseSamples(now);
  SendFresh(now, effects);
  if (!has_spool_) return;
  constexpr size_t kAll = std::numeric_limits<size_t>::max();
  Put(v1::STREAM_EVENT, kAll, effects.spool);
  Put(v1::STREAM_TELEMETRY, kAll, effects.spool);
  for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) {
    if (const std::optional<uint64_t> made = accounts_.made(stream, epoch_)) {
      unwritten_.made.push_back({.stream = stream, .epoch = epoch_, .made = *made});
    }
  }
  WriteRest(effects.spool);
}

void Outbox::UpdateSpilling(Now now) {
  const auto& telemetry = memory_[v1::STREAM_TELEMETRY];
  if (!has_spool_ || is_spilling_ || telemetry.empty()) return;
  is_spilling_ = memory_bytes_[v1::STREAM_TELEMETRY] > kSpillBytes ||
                 now.mono >= Find(*telemetry.begin())->made_at + kReceiptPatience;
}

bool Outbox::wants_put() const {
  return !memory_[v1::STREAM_EVENT].empty() || (is_spilling_ && !memory_[v1::STREAM_TELEMETRY].empty());
}

bool Outbox::wants_read() const {
  return link_up_ && !is_reading_ && !is_at_end_ && read_bytes_ < kReadAheadBytes;
}

MonoTime Outbox::NextWrite() const {
  if (!has_spool_) return MonoTime::Max();
  if (is_failing_) {
    return wants_put() || wants_read() || write_due_ != MonoTime::Max() ? retry_at_ : MonoTime::Max();
  }
  const auto& telemetry = memory_[v1::STREAM_TELEMETRY];
  if (is_spilling_ || telemetry.empty()) return write_due_;
  return std::min(write_due_, entries_.at(*telemetry.begin()).made_at + kReceiptPatience);
}

void Outbox::WriteToSpool(Now now, Effects& effects) {
  if (!has_spool_ || (is_failing_ && now.mono < retry_at_)) return;
  SpoolWork& work = effects.spool;
  bool puts = wants_put();
  bool rest = write_due_ != MonoTime::Max() && (puts || is_failing_ || now.mono >= write_due_);
  if (is_failing_) {
    retry_at_ = now.mono + kSpoolRetry;
    if (puts && rest) (puts_next_ ? rest : puts) = false;
    puts_next_ = !puts_next_;
  }
  if (puts) {
    Put(v1::STREAM_EVENT, kMaxPuttingBytes, work);
    if (is_spilling_) Put(v1::STREAM_TELEMETRY, kMaxPuttingBytes, work);
  }
  if (rest) WriteRest(work);
  if (!wants_read()) return;
  work.read = SpoolWork::Read{.after_row = cursor_, .max_bytes = kReadBytes};
  is_reading_ = true;
}

void Outbox::Put(v1::Stream stream, size_t max_putting_bytes, SpoolWork& work) {
  std::set<int64_t>& rows = memory_[stream];
  while (!rows.empty() && putting_bytes_ < max_putting_bytes) {
    Entry& entry = *Find(*rows.begin());
    work.put.push_back(entry.batch);
    SetPlace(entry, Place::kPutting);
  }
}

void Outbox::WriteRest(SpoolWork& work) {
  MoveTo(unwritten_.remove, work.remove);
  MoveTo(unwritten_.made, work.made);
  MoveTo(unwritten_.dropped, work.dropped);
  MoveTo(unwritten_.settled, work.settled);
  write_due_ = MonoTime::Max();
}

// One range for drops that follow each other, however long the disk fails.
void Outbox::WriteDrop(const StreamDrop& drop, Now now) {
  NoteUnwritten(now);
  for (StreamDrop& before : unwritten_.dropped) {
    const bool follows = before.stream == drop.stream && before.epoch == drop.epoch &&
                         before.range.reason() == drop.range.reason() &&
                         before.range.last_seq() + 1 == drop.range.first_seq();
    if (follows) return before.range.set_last_seq(drop.range.last_seq());
  }
  unwritten_.dropped.push_back(drop);
}

void Outbox::NoteUnwritten(Now now) {
  write_due_ = std::min(write_due_, now.mono + kRemovalDelay);
}

// ---- what comes back

void Outbox::Done(const SpoolDone& done, Now now) {
  turn_due_ = true;
  if (!done.status.ok()) return WorkFailed(done, now);
  totals_ = done.totals;
  for (const StreamDrop& drop : done.dropped) HearDrop(drop);
  PutDone(done);
  for (const int64_t row : done.asked.remove) removing_.erase(row);
  if (done.asked.read) ReadDone(done);
  if (is_failing_ && (!done.asked.put.empty() || !wants_put())) SayWorks(now);
}

// Sent: the receipt is awaited without the payload. Not sent: it is read from the disk like everything there.
void Outbox::PutDone(const SpoolDone& done) {
  for (const StreamBatch& batch : done.asked.put) {
    ++counters_.spooled_batches;
    Entry* entry = Find(batch.row);
    if (entry == nullptr) continue;
    if (!entry->in_flight) {
      Erase(batch.row);
      ReadAgain(batch.row);
      continue;
    }
    SetPlace(*entry, Place::kDisk);
    entry->batch.payload = std::string();
  }
}

void Outbox::ReadDone(const SpoolDone& done) {
  is_reading_ = false;
  if (!link_up_ || done.asked.read->after_row != cursor_) return;  // asked before the link came up again
  for (const StreamBatch& batch : done.read) Read(batch);
  if (!done.read.empty()) cursor_ = done.read.back().row;
  is_at_end_ = done.read_to_end;
}

void Outbox::Read(const StreamBatch& batch) {
  if (removing_.contains(batch.row)) return;
  if (Find(batch.row) != nullptr && lost_.erase(batch.row) == 0) return;  // still here
  Entry& entry = entries_[batch.row];
  entry.batch = batch;
  entry.payload_bytes = batch.payload.size();
  entry.place = Place::kDisk;
  rows_[{batch.stream, batch.epoch, batch.first_seq}] = batch.row;
  read_.insert(batch.row);
  read_bytes_ += entry.payload_bytes;
}

// The spool gave up whole batches. What of it was receipted meanwhile has been counted as that.
void Outbox::HearDrop(const StreamDrop& drop) {
  uint64_t records = drop.range.last_seq() - drop.range.first_seq() + 1;
  for (const auto& [row, batch] : removing_) {
    if (IsWithin(batch, drop)) records -= std::min<uint64_t>(records, batch.records);
  }
  const Number end{drop.stream, drop.epoch, drop.range.last_seq()};
  auto it = rows_.lower_bound({drop.stream, drop.epoch, drop.range.first_seq()});
  while (it != rows_.end() && it->first <= end) {
    Erase((it++)->second);
  }
  NoteDrop(drop, records);
}

// Nothing of it was done: everything waits again.
void Outbox::WorkFailed(const SpoolDone& done, Now now) {
  for (const StreamBatch& batch : done.asked.put) {
    if (Entry* entry = Find(batch.row)) SetPlace(*entry, Place::kMemory);
  }
  PutBefore(done.asked.remove, unwritten_.remove);
  PutBefore(done.asked.made, unwritten_.made);
  PutBefore(done.asked.dropped, unwritten_.dropped);
  PutBefore(done.asked.settled, unwritten_.settled);
  NoteUnwritten(now);
  if (done.asked.read) is_reading_ = false;
  retry_at_ = now.mono + kSpoolRetry;
  if (std::exchange(is_failing_, true)) return;
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_SPOOL_FAILED);
  event.set_detail(std::string(done.status.message()));
  Add(std::move(event), now);
}

void Outbox::SayWorks(Now now) {
  is_failing_ = false;
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_SPOOL_WORKS);
  Add(std::move(event), now);
}

}  // namespace fleet::device
