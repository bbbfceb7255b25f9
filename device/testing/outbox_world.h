// An Outbox with a disk, a link and a server that do as a test says.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <algorithm>

#include "common/testing/fake_clock.h"
#include "common/topics.h"
#include "device/dropped_ranges.h"
#include "device/outbox.h"

namespace fleet::device {

class OutboxWorld {
 public:
  using Key = std::pair<v1::Stream, uint32_t>;  // and epoch
  struct Sent {
    v1::Stream stream;
    uint32_t epoch;
    uint64_t first_seq;
    uint64_t last_seq;
    bool backlog;
    int64_t at_unix_ms;
  };

  explicit OutboxWorld(bool has_spool = true) : has_spool_(has_spool) { Start(); }

  // A new life; what the last one had in memory is gone.
  void Start() {
    ++epoch;
    link_up = false;
    works.clear();
    receipts.clear();
    effects.Clear();
    const SpoolContents contents = Contents();
    outbox = std::make_unique<Outbox>(DeviceId::Parse("pi-1").value(), epoch, has_spool_ ? &contents : nullptr, clock);
  }
  void Stop() {
    outbox->Flush(clock, effects);
    CarryOut();
    WorkDisk();
  }

  void Connect() {
    link_up = true;
    outbox->LinkUp(clock);
  }
  void Disconnect() {
    link_up = false;
    receipts.clear();
    outbox->LinkDown(clock);
  }
  void AddEvent(const std::string& name = "x") {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_REPORTED);
    event.set_name(name);
    outbox->Add(std::move(event), clock);
  }
  void AddSample(const std::string& signal = "a/b", double value = 1) {
    outbox->Add(Sample{.signal = signal, .value = value}, clock);
  }

  // One turn: what is due, then the disk, then the receipts.
  void Turn() {
    outbox->Tick(clock, effects);
    CarryOut();
    if (disk_works_at_once) WorkDisk();
    if (receipts_at_once) GiveReceipts();
  }
  // Turns whenever something is due, until `duration` is over.
  void Run(absl::Duration duration) {
    const MonoTime end = clock.Read().mono + duration;
    while (true) {
      for (int i = 0; outbox->NextDue() <= clock.Read().mono; ++i) {
        ASSERT_LT(i, 100'000) << "something is always due";
        Turn();
      }
      if (clock.Read().mono >= end) return;
      clock.Advance(std::min(outbox->NextDue(), end) - clock.Read().mono);
    }
  }

  void WorkDisk() {
    while (!works.empty()) {
      SpoolWork work = std::move(works.front());
      works.pop_front();
      outbox->Done(Do(std::move(work)), clock);
    }
  }
  void GiveReceipts() {
    while (!receipts.empty()) {
      const v1::Receipt receipt = receipts.front();
      receipts.pop_front();
      outbox->Hear(receipt, clock);
    }
  }

  uint64_t stored(v1::Stream stream) const {
    uint64_t sum = 0;
    for (const auto& [key, numbers] : server) sum += key.first == stream ? numbers.size() : 0;
    return sum;
  }
  std::vector<Sent> SentOf(v1::Stream stream) const {
    std::vector<Sent> found;
    for (const Sent& one : sent) {
      if (one.stream == stream) found.push_back(one);
    }
    return found;
  }

  FakeClock clock;
  uint32_t epoch = 0;
  std::unique_ptr<Outbox> outbox;
  Effects effects;

  bool link_up = false;
  bool link_refuses = false;
  bool server_works = true;  // stores and receipts
  bool receipts_at_once = true;
  bool disk_works_at_once = true;
  bool disk_fails = false;
  size_t disk_bytes = size_t{1} << 30;

  std::map<int64_t, StreamBatch> disk;
  std::map<Key, uint64_t> disk_made;
  std::map<Key, std::vector<v1::DroppedRange>> disk_dropped;
  std::deque<SpoolWork> works;
  uint64_t works_done = 0;

  std::map<Key, std::set<uint64_t>> server;
  std::map<Key, v1::EpochAccount> ledger;  // as last reported
  std::vector<Sent> sent;
  std::deque<v1::Receipt> receipts;

 private:
  SpoolContents Contents() const {
    SpoolContents contents;
    for (const auto& [key, made] : disk_made) {
      v1::EpochAccount& account = contents.accounts.emplace_back();
      account.set_stream(key.first);
      account.set_epoch(key.second);
      account.set_made(made);
      const auto dropped = disk_dropped.find(key);
      if (dropped != disk_dropped.end()) {
        *account.mutable_dropped() = {dropped->second.begin(), dropped->second.end()};
      }
      for (const auto& [row, batch] : disk) {
        if (Key(batch.stream, batch.epoch) == key) account.set_waiting(account.waiting() + batch.records);
      }
    }
    if (!disk.empty()) contents.last_row = disk.rbegin()->first;
    return contents;
  }

  void CarryOut() {
    Effects now = std::exchange(effects, {});
    for (const Publication& publication : now.publish) {
      if (!link_up || link_refuses) {
        outbox->Refused(publication, clock);
      } else {
        Arrive(publication);
      }
    }
    if (!now.spool.empty()) works.push_back(std::move(now.spool));
  }

  void Arrive(const Publication& publication) {
    const auto topic = ParseDeviceTopic(publication.topic);
    v1::Receipt receipt;
    if (topic->topic == DeviceTopic::kLedger) {
      v1::LedgerReport report;
      ASSERT_TRUE(report.ParseFromString(publication.payload));
      for (const v1::EpochAccount& account : report.accounts()) ledger[{account.stream(), account.epoch()}] = account;
      receipt.set_ledger_epoch(report.epoch());
      receipt.set_ledger_number(report.number());
    } else if (topic->topic == DeviceTopic::kEvent) {
      v1::EventBatch batch;
      ASSERT_TRUE(batch.ParseFromString(publication.payload));
      Take(v1::STREAM_EVENT, batch, batch.events_size(), receipt);
    } else {
      v1::TelemetryBatch batch;
      ASSERT_TRUE(batch.ParseFromString(publication.payload));
      Take(v1::STREAM_TELEMETRY, batch, batch.value_size(), receipt);
    }
    if (server_works) receipts.push_back(receipt);
  }

  template <typename Batch>
  void Take(v1::Stream stream, const Batch& batch, int records, v1::Receipt& receipt) {
    const uint64_t last = batch.first_seq() + static_cast<uint64_t>(records) - 1;
    sent.push_back({.stream = stream,
                    .epoch = batch.epoch(),
                    .first_seq = batch.first_seq(),
                    .last_seq = last,
                    .backlog = batch.backlog(),
                    .at_unix_ms = clock.Read().unix_ms()});
    if (!server_works) return;
    for (uint64_t seq = batch.first_seq(); seq <= last; ++seq) server[{stream, batch.epoch()}].insert(seq);
    v1::ReceiptRange& range = *receipt.add_ranges();
    range.set_stream(stream);
    range.set_epoch(batch.epoch());
    range.set_first_seq(batch.first_seq());
    range.set_last_seq(last);
  }

  SpoolDone Do(SpoolWork work) {
    SpoolDone done;
    ++works_done;
    if (disk_fails) {
      done.status = absl::UnavailableError("disk full");
    } else {
      Write(work, done);
    }
    for (StreamBatch& batch : work.put) batch.payload.clear();
    done.asked = std::move(work);
    return done;
  }

  void Write(const SpoolWork& work, SpoolDone& done) {
    for (const StreamBatch& batch : work.put) {
      disk[batch.row] = batch;
      NoteMade({batch.stream, batch.epoch}, batch.first_seq + batch.records - 1);
    }
    for (const int64_t row : work.remove) disk.erase(row);
    for (const StreamEpoch& made : work.made) NoteMade({made.stream, made.epoch}, made.made);
    for (const StreamDrop& drop : work.dropped) AddDropped(disk_dropped[{drop.stream, drop.epoch}], drop.range);
    for (const StreamEpoch& settled : work.settled) {
      disk_made.erase({settled.stream, settled.epoch});
      disk_dropped.erase({settled.stream, settled.epoch});
    }
    Bound(done);
    if (!work.read) return;
    size_t bytes = 0;
    for (auto it = disk.upper_bound(work.read->after_row); it != disk.end(); ++it) {
      if (bytes >= work.read->max_bytes) return;
      bytes += it->second.payload.size();
      done.read.push_back(it->second);
    }
    done.read_to_end = true;
  }

  void NoteMade(const Key& key, uint64_t made) { disk_made[key] = std::max(disk_made[key], made); }

  void Bound(SpoolDone& done) {
    size_t bytes = 0;
    for (const auto& [row, batch] : disk) bytes += batch.payload.size();
    while (bytes > disk_bytes) {
      const StreamBatch batch = disk.begin()->second;
      bytes -= batch.payload.size();
      disk.erase(disk.begin());
      StreamDrop drop{.stream = batch.stream, .epoch = batch.epoch, .range = {}};
      drop.range.set_reason(v1::DROP_REASON_SPOOL_FULL);
      drop.range.set_first_seq(batch.first_seq);
      drop.range.set_last_seq(batch.first_seq + batch.records - 1);
      AddDropped(disk_dropped[{batch.stream, batch.epoch}], drop.range);
      done.dropped.push_back(drop);
    }
  }

  const bool has_spool_;
};

}  // namespace fleet::device
