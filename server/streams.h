// The durable streams of one device: what of each is stored, what was given up, what is still on its way
// (docs/protocol.md section 9).
//
// Every number from 1 to the highest ever heard of is in exactly one of three states: stored, dropped with a reason, or
// in flight; so sent = stored + dropped + in flight holds by construction. What is checked is whether that agrees with
// what the device says: numbers that are in flight although the device no longer has them are a complaint, which
// `fleetctl ledger` shouts.
//
// An epoch that is over, and of which the device has nothing left, is settled: what is still open then died with that
// life (DROP_REASON_CRASH). Settled epochs are summed up, oldest first; a batch of one is a duplicate.
//
// Pure; loop thread only. Bounds per stream: kMaxEpochs open epochs, and kMaxRanges gaps in each; a batch that would be
// past them is not taken and gets no receipt, so that the device sends it again when older ones are settled.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "fleet/v1/to_server.pb.h"
#include "server/number_set.h"
#include "server/rows.h"

namespace fleet::server {

// One stream in one epoch.
struct StreamAccount {
  uint32_t epoch = 0;
  uint64_t made = 0;  // the highest number that anybody has told us of
  NumberSet stored;
  std::map<v1::DropReason, NumberSet> dropped;  // apart from each other and from `stored`
  uint64_t duplicate = 0;
  uint64_t waiting = 0;          // as the device reported last
  int64_t reported_unix_ms = 0;  // 0: not yet

  uint64_t dropped_count() const;
  uint64_t in_flight() const { return made - stored.size() - dropped_count(); }
};

// All epochs of one stream.
struct StreamTotals {
  uint64_t sent = 0;
  uint64_t stored = 0;
  uint64_t duplicate = 0;
  std::map<v1::DropReason, uint64_t> dropped;

  uint64_t dropped_count() const;
  uint64_t in_flight() const { return sent - stored - dropped_count(); }
};

class DeviceStreams {
 public:
  static constexpr size_t kMaxEpochs = 64;
  static constexpr size_t kMaxRanges = 256;
  static constexpr v1::Stream kStreams[] = {v1::STREAM_EVENT, v1::STREAM_TELEMETRY};

  explicit DeviceStreams(int64_t device_row) : device_row_(device_row) {}

  // Continues from what the database remembers: first the totals, then the accounts.
  void Restore(const StreamTotalsRow& row);
  void Restore(const StreamAccountRow& row);

  // The records that are not stored yet become rows. Returns their numbers: none when all are duplicates. nullopt: the
  // batch was not taken and must not get a receipt.
  std::optional<std::vector<NumberRange>> Take(const v1::EventBatch& batch, Now now, RowBatch& rows);
  std::optional<std::vector<NumberRange>> Take(const v1::TelemetryBatch& batch, Now now, RowBatch& rows);
  // False: not all of it could be taken, or a newer one has come before; it must not get a receipt.
  bool Take(const v1::LedgerReport& report, Now now, RowBatch& rows);

  // The rows of these numbers were lost on their way to the disk: they are not stored after all.
  void Unstore(v1::Stream stream, uint32_t epoch, const std::vector<NumberRange>& ranges);
  // The device counts its lives anew, so it has lost its disk: all that is open is settled, and the epochs from `epoch`
  // on are taken as new ones.
  void DiskLost(uint32_t epoch, RowBatch& rows);
  // Writes all accounts again.
  void WriteAll(RowBatch& rows) const;

  // Open and settled epochs together.
  StreamTotals Totals(v1::Stream stream) const;
  uint64_t waiting(v1::Stream stream) const;
  int64_t reported_unix_ms(v1::Stream stream) const;  // 0: never
  // Empty: at its last report what the device said and what we had agreed.
  std::string Complaint(v1::Stream stream) const;
  bool balanced() const;
  bool empty() const { return streams_.empty(); }

 private:
  struct StreamState {
    std::map<uint32_t, StreamAccount> open;  // by epoch
    uint64_t settled_below = 0;              // epochs below it are settled
    StreamTotals settled;
    int64_t reported_unix_ms = 0;
    std::string complaint;
  };

  // Books the numbers of a batch as stored; returns those that were not. nullopt: past a bound.
  std::optional<std::vector<NumberRange>> Book(v1::Stream stream, uint32_t epoch, NumberRange range, RowBatch& rows);
  bool TakeAccount(const v1::EpochAccount& said, int64_t now_unix_ms);
  void SettleOver(v1::Stream stream, RowBatch& rows);
  static StreamAccount* FindOrOpen(StreamState& state, uint32_t epoch);
  void SettleOldest(v1::Stream stream, StreamState& state, RowBatch& rows) const;
  void Write(v1::Stream stream, const StreamAccount& account, RowBatch& rows, bool settled = false) const;
  void WriteTotals(v1::Stream stream, const StreamState& state, RowBatch& rows) const;

  int64_t device_row_;
  std::map<v1::Stream, StreamState> streams_;
  uint32_t life_ = 0;  // that reported last
  uint32_t report_number_ = 0;
};

}  // namespace fleet::server
