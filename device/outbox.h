// The durable streams of this device: what is made gets a number, is kept until the server has stored it, and is never
// lost without being counted (docs/protocol.md section 9).
//
//   made --> in memory --sent--> receipt --> forgotten
//               | events at once; telemetry when receipts stop, and before a clean stop
//               v
//             spool --read in order, sent as backlog--> receipt --> removed
//
// What is new goes first: it is sent in the turn in which it was made, and the backlog fills what is left, as much at a
// time as BacklogPacer allows. Without a spool, or when the disk takes nothing, memory is all there is.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/backlog_pacer.h"
#include "device/effects.h"
#include "device/sample.h"
#include "device/spool.h"
#include "device/stream_accounts.h"
#include "device/telemetry_columns.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// The owner calls Tick at the end of every turn in which it called something else, and at NextDue; hands every
// SpoolDone to Done, in order, those of works of its own included; and merges the works of one turn. That a damaged
// spool was begun anew, that the disk fails and works again, and that records were dropped becomes an event by itself.
//
// Pure; loop thread only. Bounds: kMaxMemoryBytes in memory, of which the oldest telemetry goes first, events last; the
// spool has its own.
class Outbox {
 public:
  static constexpr size_t kMaxMemoryBytes = size_t{1} << 20;
  static constexpr size_t kSpillBytes = 256 << 10;       // telemetry in memory; more goes to the disk
  static constexpr size_t kMaxPuttingBytes = 512 << 10;  // on their way to the disk
  static constexpr size_t kMaxEventBatchBytes = 16 << 10;
  static constexpr int kMaxEventsPerBatch = 256;
  static constexpr size_t kReadAheadBytes = 64 << 10;  // less is read from the disk: more is asked for
  static constexpr size_t kReadBytes = 128 << 10;      // at once
  static constexpr size_t kMaxLost = 1000;  // sent from the disk without a receipt: a late one is still understood
  static constexpr size_t kMaxEventNameBytes = 64;
  static constexpr size_t kMaxEventDetailBytes = 200;
  static constexpr absl::Duration kBatchAge = absl::Seconds(1);  // a telemetry batch is closed at this age
  // Then telemetry goes to the disk, and what was sent is sent again.
  static constexpr absl::Duration kReceiptPatience = absl::Seconds(5);
  static constexpr absl::Duration kLedgerPeriod = absl::Seconds(5);
  static constexpr absl::Duration kDropReportPause = absl::Seconds(1);  // from a report to the next because of a drop
  static constexpr absl::Duration kSpoolRetry = absl::Seconds(1);
  static constexpr absl::Duration kRemovalDelay = absl::Seconds(1);  // so that many share one write
  static constexpr absl::Duration kDropEventPause = absl::Seconds(10);
  static constexpr absl::Duration kRefusedPause = absl::Milliseconds(100);  // of the backlog, when the link is full

  struct Counters {
    uint64_t made[3] = {};       // records of this life, by v1::Stream
    uint64_t receipted[3] = {};  // of all lives
    uint64_t dropped[3] = {};    // likewise, in this life
    uint64_t dropped_by_reason[3][v1::DropReason_ARRAYSIZE] = {};
    uint64_t spooled_batches = 0;
    uint64_t backlog_batches = 0;  // sent from the disk, or again
    uint64_t bad_receipts = 0;
    uint64_t bad_samples = 0;  // no signal name
  };

  // `contents`: nullptr when there is no spool.
  Outbox(const DeviceId& device, uint32_t epoch, const SpoolContents* contents, Now now);

  void Add(v1::Event event, Now now);  // its time is set to now when it has none; texts that are too long are cut
  void Add(Sample sample, Now now);    // its time likewise

  void LinkUp(Now now);
  void LinkDown(Now now);
  void Hear(const v1::Receipt& receipt, Now now);
  void Done(const SpoolDone& done, Now now);
  void Refused(const Publication& publication, Now now);  // the link did not take it; others' are ignored
  // Sends, spools and reads what is due.
  void Tick(Now now, Effects& effects);
  MonoTime NextDue() const;  // may be in the past: now
  // Before a clean stop: everything that is only in memory goes to the spool.
  void Flush(Now now, Effects& effects);

  uint64_t waiting(v1::Stream stream) const { return accounts_.waiting(stream); }  // without a receipt, all lives
  size_t memory_bytes() const { return memory_bytes_[v1::STREAM_EVENT] + memory_bytes_[v1::STREAM_TELEMETRY]; }
  bool is_spilling() const { return is_spilling_; }  // receipts have stopped, so telemetry goes to the disk
  const SpoolTotals& spool_totals() const { return totals_; }
  const Counters& counters() const { return counters_; }

 private:
  enum class Place { kMemory, kPutting, kDisk };
  struct Entry {
    StreamBatch batch;  // its payload is empty when only the disk has it
    size_t payload_bytes = 0;
    MonoTime made_at;
    MonoTime sent_at;  // while in flight
    Place place = Place::kMemory;
    bool in_flight = false;
    bool sent_as_backlog = false;
  };
  using Number = std::tuple<v1::Stream, uint32_t, uint64_t>;  // stream, epoch, first_seq

  // Making.
  void CloseEvents(Now now);
  void CloseSamples(Now now);
  void Keep(v1::Stream stream, uint64_t first_seq, int records, std::string payload, Now now);
  void BoundMemory(Now now);
  void NoteDrop(const StreamDrop& drop, uint64_t records);
  void TellDrops(Now now);

  // Sending.
  void SendFresh(Now now, Effects& effects);
  void SendBacklog(Now now, Effects& effects);
  void Send(Entry& entry, bool as_backlog, Now now, Effects& effects);
  void FindLost(Now now);
  void Lose(Entry& entry, Now now);
  void ReadAgain(int64_t row);
  void ForgetFlights();
  std::optional<Number> NumberOf(const Publication& publication) const;
  void SendLedger(Now now, Effects& effects);

  // Receipts.
  void HearRange(const v1::ReceiptRange& range, Now now);
  void Receipt(Entry& entry, Now now);
  bool is_backlog_empty() const;

  // The disk.
  void UpdateSpilling(Now now);
  void WriteToSpool(Now now, Effects& effects);
  void Put(v1::Stream stream, size_t max_putting_bytes, SpoolWork& work);
  void WriteRest(SpoolWork& work);
  void WriteDrop(const StreamDrop& drop, Now now);
  void NoteUnwritten(Now now);
  void PutDone(const SpoolDone& done);
  void ReadDone(const SpoolDone& done);
  void Read(const StreamBatch& batch);
  void HearDrop(const StreamDrop& drop);
  void WorkFailed(const SpoolDone& done, Now now);
  void SayWorks(Now now);
  bool wants_put() const;
  bool wants_read() const;
  MonoTime NextWrite() const;

  Entry* Find(int64_t row);
  void Erase(int64_t row);
  void SetPlace(Entry& entry, Place place);

  const std::string topics_[3];
  const std::string ledger_topic_;
  const uint32_t epoch_;
  const bool has_spool_;
  StreamAccounts accounts_;
  Counters counters_;
  bool link_up_ = false;
  bool turn_due_ = true;  // something happened since the last Tick

  v1::EventBatch events_;  // of this turn
  TelemetryColumns samples_;
  MonoTime samples_since_;

  int64_t last_row_ = 0;
  std::map<int64_t, Entry> entries_;  // in memory, on their way, read ahead, or lost
  std::map<Number, int64_t> rows_;    // of entries_
  std::vector<int64_t> fresh_;        // made, and not sent or kept for later yet
  std::set<int64_t> memory_[3];       // place kMemory, by stream
  size_t memory_bytes_[3] = {};       // kMemory and kPutting
  size_t putting_bytes_ = 0;

  std::set<int64_t> again_;  // wait to be sent as backlog: from memory
  std::set<int64_t> read_;   // and from the disk
  std::set<int64_t> lost_;   // sent from the disk, no receipt: to be read again
  size_t read_bytes_ = 0;
  std::deque<std::pair<MonoTime, int64_t>> flights_;  // oldest first; some are over already
  BacklogPacer pacer_;
  MonoTime backlog_due_;  // not before, after the link refused something

  int64_t cursor_ = 0;  // rows up to here have been read since the link came up
  bool is_at_end_ = true;
  bool is_reading_ = false;

  SpoolWork unwritten_;                      // all but put and read
  MonoTime write_due_ = MonoTime::Max();     // of unwritten_
  std::map<int64_t, StreamBatch> removing_;  // receipted, and the disk may still have them; without payloads
  bool is_spilling_ = false;
  bool is_failing_ = false;
  bool puts_next_ = false;  // while failing: puts and the rest are tried in turns, for a full disk may still remove
  MonoTime retry_at_;
  SpoolTotals totals_;

  MonoTime ledger_due_;  // while there is anything new
  MonoTime ledger_sent_;
  uint64_t untold_drops_[3] = {};
  MonoTime tell_drops_at_;                                    // not before
  v1::DropReason drop_reason_ = v1::DROP_REASON_UNSPECIFIED;  // of the last one
};

}  // namespace fleet::device
