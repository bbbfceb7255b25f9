#include "device/outbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/topics.h"
#include "device/utf8.h"

namespace fleet::device {
namespace {

constexpr size_t kEntryBytes = 256;  // what a batch costs in memory besides its payload

// Fields are merged when bytes of the same message follow each other, so a stored batch is marked without parsing it.
std::string BacklogMark(v1::Stream stream) {
  std::string bytes;
  if (stream == v1::STREAM_EVENT) {
    v1::EventBatch mark;
    mark.set_backlog(true);
    mark.SerializeToString(&bytes);
  } else {
    v1::TelemetryBatch mark;
    mark.set_backlog(true);
    mark.SerializeToString(&bytes);
  }
  return bytes;
}

uint64_t LastSeq(const StreamBatch& batch) {
  return batch.first_seq + batch.records - 1;
}

}  // namespace

Outbox::Outbox(const DeviceId& device, uint32_t epoch, const SpoolContents* contents, Now now)
    : topics_{"", TopicOf(device, DeviceTopic::kEvent), TopicOf(device, DeviceTopic::kTelemetry)},
      ledger_topic_(TopicOf(device, DeviceTopic::kLedger)),
      epoch_(epoch),
      has_spool_(contents != nullptr),
      accounts_(epoch, contents == nullptr ? std::vector<v1::EpochAccount>() : contents->accounts) {
  if (contents == nullptr) return;
  last_row_ = contents->last_row;
  totals_ = contents->totals;
  if (contents->damaged.empty()) return;
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_SPOOL_DAMAGED);
  event.set_detail(contents->damaged);
  Add(std::move(event), now);
}

// ---- making

void Outbox::Add(v1::Event event, Now now) {
  if (event.at_unix_ms() == 0) event.set_at_unix_ms(static_cast<uint64_t>(std::max<int64_t>(now.unix_ms(), 1)));
  event.set_name(CutUtf8(event.name(), kMaxEventNameBytes));
  event.set_detail(CutUtf8(event.detail(), kMaxEventDetailBytes));
  const bool is_full = events_.events_size() >= kMaxEventsPerBatch ||
                       events_.ByteSizeLong() + event.ByteSizeLong() + 8 > kMaxEventBatchBytes;
  if (is_full && events_.events_size() > 0) CloseEvents(now);
  const uint64_t seq = accounts_.Make(v1::STREAM_EVENT);
  ++counters_.made[v1::STREAM_EVENT];
  if (events_.events_size() == 0) events_.set_first_seq(seq);
  *events_.add_events() = std::move(event);
}

void Outbox::Add(Sample sample, Now now) {
  if (!IsSignalName(sample.signal)) {
    ++counters_.bad_samples;
    return;
  }
  if (sample.at_unix_ms == 0) sample.at_unix_ms = now.unix_ms();
  if (!samples_.HasRoomFor(sample)) CloseSamples(now);
  if (samples_.empty()) samples_since_ = now.mono;
  const uint64_t seq = accounts_.Make(v1::STREAM_TELEMETRY);
  // The disk learns that there is such an account, so that a later life can settle it if this one crashes.
  if (counters_.made[v1::STREAM_TELEMETRY]++ == 0) {
    unwritten_.made.push_back({.stream = v1::STREAM_TELEMETRY, .epoch = epoch_, .made = seq});
    NoteUnwritten(now);
  }
  samples_.Add(sample, seq);
}

void Outbox::CloseEvents(Now now) {
  if (events_.events_size() == 0) return;
  events_.set_epoch(epoch_);
  Keep(v1::STREAM_EVENT, events_.first_seq(), events_.events_size(), events_.SerializeAsString(), now);
  events_.Clear();
}

void Outbox::CloseSamples(Now now) {
  if (samples_.empty()) return;
  v1::TelemetryBatch batch = samples_.Take();
  batch.set_epoch(epoch_);
  Keep(v1::STREAM_TELEMETRY, batch.first_seq(), batch.value_size(), batch.SerializeAsString(), now);
}

void Outbox::Keep(v1::Stream stream, uint64_t first_seq, int records, std::string payload, Now now) {
  const int64_t row = ++last_row_;
  Entry& entry = entries_[row];
  entry.payload_bytes = payload.size();
  entry.made_at = now.mono;
  entry.batch = {.row = row,
                 .stream = stream,
                 .epoch = epoch_,
                 .first_seq = first_seq,
                 .records = static_cast<uint32_t>(records),
                 .made_unix_ms = now.unix_ms(),
                 .payload = std::move(payload)};
  rows_[{stream, epoch_, first_seq}] = row;
  memory_[stream].insert(row);
  memory_bytes_[stream] += entry.payload_bytes + kEntryBytes;
  fresh_.push_back(row);
  BoundMemory(now);
}

// What is on its way to the disk stays: it would be written and counted as dropped.
void Outbox::BoundMemory(Now now) {
  while (memory_bytes() > kMaxMemoryBytes) {
    const auto& victims = memory_[memory_[v1::STREAM_TELEMETRY].empty() ? v1::STREAM_EVENT : v1::STREAM_TELEMETRY];
    if (victims.empty()) return;
    const Entry& entry = *Find(*victims.begin());
    StreamDrop drop{.stream = entry.batch.stream, .epoch = entry.batch.epoch, .range = {}};
    drop.range.set_reason(v1::DROP_REASON_MEMORY_FULL);
    drop.range.set_first_seq(entry.batch.first_seq);
    drop.range.set_last_seq(LastSeq(entry.batch));
    NoteDrop(drop, entry.batch.records);
    if (has_spool_) WriteDrop(drop, now);
    Erase(entry.batch.row);
  }
}

void Outbox::NoteDrop(const StreamDrop& drop, uint64_t records) {
  accounts_.Drop(drop, records);
  counters_.dropped[drop.stream] += records;
  if (v1::DropReason_IsValid(drop.range.reason())) {
    counters_.dropped_by_reason[drop.stream][drop.range.reason()] += records;
  }
  untold_drops_[drop.stream] += records;
  drop_reason_ = drop.range.reason();
  ledger_due_ = std::min(ledger_due_, ledger_sent_ + kDropReportPause);
  turn_due_ = true;
}

void Outbox::TellDrops(Now now) {
  const uint64_t total = untold_drops_[v1::STREAM_EVENT] + untold_drops_[v1::STREAM_TELEMETRY];
  if (total == 0 || now.mono < tell_drops_at_) return;
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_RECORDS_DROPPED);
  event.set_detail(absl::StrCat("event=", untold_drops_[v1::STREAM_EVENT], " telemetry=",
                                untold_drops_[v1::STREAM_TELEMETRY], " reason=", v1::DropReason_Name(drop_reason_)));
  untold_drops_[v1::STREAM_EVENT] = untold_drops_[v1::STREAM_TELEMETRY] = 0;
  tell_drops_at_ = now.mono + kDropEventPause;
  Add(std::move(event), now);
}

// ---- sending

void Outbox::LinkUp(Now now) {
  ForgetFlights();
  link_up_ = true;
  turn_due_ = true;
  pacer_ = BacklogPacer();
  cursor_ = 0;
  is_at_end_ = !has_spool_;
  ledger_due_ = now.mono;
}

void Outbox::LinkDown(Now) {
  ForgetFlights();
  link_up_ = false;
}

// What was sent waits again: in memory, or for being read again.
void Outbox::ForgetFlights() {
  flights_.clear();
  read_.clear();
  lost_.clear();
  read_bytes_ = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    const auto next = std::next(it);
    entry.in_flight = false;
    if (entry.place == Place::kDisk) {
      Erase(it->first);
    } else {
      again_.insert(it->first);
    }
    it = next;
  }
  for (const int64_t row : fresh_) again_.erase(row);
}

void Outbox::Tick(Now now, Effects& effects) {
  turn_due_ = false;
  TellDrops(now);
  CloseEvents(now);
  if (!samples_.empty() && now.mono >= samples_since_ + kBatchAge) CloseSamples(now);
  SendFresh(now, effects);
  if (link_up_) {
    FindLost(now);
    SendBacklog(now, effects);
    SendLedger(now, effects);
  }
  UpdateSpilling(now);
  WriteToSpool(now, effects);
}

MonoTime Outbox::NextDue() const {
  if (turn_due_ || events_.events_size() > 0 || !fresh_.empty()) return MonoTime();
  MonoTime due = MonoTime::Max();
  if (!samples_.empty()) due = samples_since_ + kBatchAge;
  if (link_up_ && !flights_.empty()) due = std::min(due, flights_.front().first + kReceiptPatience);
  if (link_up_ && accounts_.changed()) due = std::min(due, ledger_due_);
  if (link_up_ && !(again_.empty() && read_.empty()) && pacer_.in_flight_bytes() == 0)
    due = std::min(due, backlog_due_);
  const bool drops = untold_drops_[v1::STREAM_EVENT] + untold_drops_[v1::STREAM_TELEMETRY] > 0;
  if (drops) due = std::min(due, tell_drops_at_);
  return std::min(due, NextWrite());
}

void Outbox::SendFresh(Now now, Effects& effects) {
  for (const int64_t row : fresh_) {
    Entry* entry = Find(row);
    if (entry == nullptr) continue;
    if (link_up_) {
      Send(*entry, /*as_backlog=*/false, now, effects);
    } else {
      again_.insert(row);
    }
  }
  fresh_.clear();
}

void Outbox::SendBacklog(Now now, Effects& effects) {
  if (now.mono < backlog_due_) return;
  for (std::set<int64_t>* waiting : {&again_, &read_}) {
    while (!waiting->empty()) {
      Entry& entry = *Find(*waiting->begin());
      if (!pacer_.MaySend(entry.payload_bytes)) return;
      waiting->erase(waiting->begin());
      Send(entry, /*as_backlog=*/true, now, effects);
    }
  }
}

void Outbox::Send(Entry& entry, bool as_backlog, Now now, Effects& effects) {
  StreamBatch& batch = entry.batch;
  std::string payload = batch.payload;
  if (entry.place == Place::kDisk) {
    batch.payload = std::string();
    read_bytes_ -= entry.payload_bytes;
  }
  if (as_backlog) {
    payload += BacklogMark(batch.stream);
    pacer_.Sent(entry.payload_bytes);
    ++counters_.backlog_batches;
  }
  effects.publish.push_back({.topic = topics_[batch.stream], .payload = std::move(payload), .qos = 1});
  entry.in_flight = true;
  entry.sent_as_backlog = as_backlog;
  entry.sent_at = now.mono;
  flights_.emplace_back(now.mono, batch.row);
}

void Outbox::FindLost(Now now) {
  while (!flights_.empty()) {
    const auto [sent_at, row] = flights_.front();
    Entry* entry = Find(row);
    const bool is_under_way = entry != nullptr && entry->in_flight && entry->sent_at == sent_at;
    if (is_under_way && now.mono < sent_at + kReceiptPatience) return;
    flights_.pop_front();
    if (is_under_way) Lose(*entry, now);
  }
}

void Outbox::Lose(Entry& entry, Now now) {
  const int64_t row = entry.batch.row;
  entry.in_flight = false;
  if (entry.sent_as_backlog) pacer_.Lost(entry.payload_bytes, entry.sent_at, now.mono);
  if (entry.place != Place::kDisk) {
    again_.insert(row);
    return;
  }
  ReadAgain(row);
  lost_.insert(row);
  if (lost_.size() > kMaxLost) Erase(*lost_.begin());
}

void Outbox::ReadAgain(int64_t row) {
  cursor_ = std::min(cursor_, row - 1);
  is_at_end_ = false;
}

void Outbox::Refused(const Publication& publication, Now now) {
  if (publication.topic == ledger_topic_) {
    ledger_due_ = now.mono + kDropReportPause;
    return;
  }
  const std::optional<Number> number = NumberOf(publication);
  const auto found = number ? rows_.find(*number) : rows_.end();
  if (found == rows_.end()) return;
  backlog_due_ = now.mono + kRefusedPause;
  if (Entry& entry = *Find(found->second); entry.in_flight) Lose(entry, now);
}

std::optional<Outbox::Number> Outbox::NumberOf(const Publication& publication) const {
  if (publication.topic == topics_[v1::STREAM_EVENT]) {
    v1::EventBatch batch;
    if (batch.ParseFromString(publication.payload)) return Number{v1::STREAM_EVENT, batch.epoch(), batch.first_seq()};
  } else if (publication.topic == topics_[v1::STREAM_TELEMETRY]) {
    v1::TelemetryBatch batch;
    if (batch.ParseFromString(publication.payload)) {
      return Number{v1::STREAM_TELEMETRY, batch.epoch(), batch.first_seq()};
    }
  }
  return std::nullopt;
}

void Outbox::SendLedger(Now now, Effects& effects) {
  if (!accounts_.changed() || now.mono < ledger_due_) return;
  effects.publish.push_back({.topic = ledger_topic_, .payload = accounts_.Report().SerializeAsString(), .qos = 1});
  ledger_sent_ = now.mono;
  ledger_due_ = now.mono + kLedgerPeriod;
}

// ---- receipts

void Outbox::Hear(const v1::Receipt& receipt, Now now) {
  turn_due_ = true;
  for (const v1::ReceiptRange& range : receipt.ranges()) HearRange(range, now);
  for (StreamEpoch& settled : accounts_.HearReceipt(receipt.ledger_epoch(), receipt.ledger_number())) {
    if (!has_spool_) break;
    unwritten_.settled.push_back(settled);
    NoteUnwritten(now);
  }
}

void Outbox::HearRange(const v1::ReceiptRange& range, Now now) {
  const bool is_stream = range.stream() == v1::STREAM_EVENT || range.stream() == v1::STREAM_TELEMETRY;
  const bool is_range = range.first_seq() != 0 && range.first_seq() <= range.last_seq();
  const std::optional<uint64_t> made = accounts_.made(range.stream(), range.epoch());
  if (!is_stream || !is_range || range.epoch() > epoch_ || (made && range.last_seq() > *made)) {
    ++counters_.bad_receipts;
    return;
  }
  auto it = rows_.lower_bound({range.stream(), range.epoch(), range.first_seq()});
  const Number end{range.stream(), range.epoch(), range.last_seq()};
  while (it != rows_.end() && it->first <= end) {
    Entry& entry = *Find((it++)->second);
    if (LastSeq(entry.batch) <= range.last_seq()) Receipt(entry, now);
  }
}

void Outbox::Receipt(Entry& entry, Now now) {
  const bool was_live = entry.in_flight && !entry.sent_as_backlog;
  if (was_live) pacer_.SawReceipt(now.mono - entry.sent_at, now.mono);
  if (entry.in_flight && !was_live) pacer_.Receipted(entry.payload_bytes, entry.sent_at, now.mono);
  entry.in_flight = false;
  counters_.receipted[entry.batch.stream] += entry.batch.records;
  accounts_.Receipt(entry.batch);
  if (entry.place != Place::kMemory) {
    StreamBatch head = entry.batch;
    head.payload.clear();
    unwritten_.remove.push_back(head.row);
    removing_.emplace(head.row, std::move(head));
    NoteUnwritten(now);
  }
  Erase(entry.batch.row);
  if (was_live && is_backlog_empty()) is_spilling_ = false;
}

bool Outbox::is_backlog_empty() const {
  return is_at_end_ && again_.empty() && read_.empty() && pacer_.in_flight_bytes() == 0;
}

// ---- the table of batches

Outbox::Entry* Outbox::Find(int64_t row) {
  const auto found = entries_.find(row);
  return found == entries_.end() ? nullptr : &found->second;
}

void Outbox::Erase(int64_t row) {
  Entry* entry = Find(row);
  if (entry == nullptr) return;
  SetPlace(*entry, Place::kDisk);
  if (entry->in_flight && entry->sent_as_backlog) pacer_.Forget(entry->payload_bytes);
  if (read_.erase(row) > 0) read_bytes_ -= entry->payload_bytes;
  again_.erase(row);
  lost_.erase(row);
  rows_.erase({entry->batch.stream, entry->batch.epoch, entry->batch.first_seq});
  entries_.erase(row);
}

void Outbox::SetPlace(Entry& entry, Place place) {
  const size_t bytes = entry.payload_bytes + kEntryBytes;
  const v1::Stream stream = entry.batch.stream;
  const bool was_memory = entry.place != Place::kDisk;
  if (was_memory && place == Place::kDisk) memory_bytes_[stream] -= bytes;
  if (entry.place == Place::kPutting) putting_bytes_ -= bytes;
  if (place == Place::kPutting) putting_bytes_ += bytes;
  if (place == Place::kMemory) {
    memory_[stream].insert(entry.batch.row);
  } else {
    memory_[stream].erase(entry.batch.row);
  }
  entry.place = place;
}

}  // namespace fleet::device
