// What became of every number of the durable streams, for the ledger (docs/protocol.md section 9).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "device/spool.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Gives the numbers of this life and counts, for each stream and epoch: made = receipted + dropped + waiting. An epoch
// that is over is settled when nothing of it waits and the server has stored a report that says so.
//
// Pure; loop thread only. Bounds: 2 accounts for this life and those that the spool kept; kMaxReported in a report.
class StreamAccounts {
 public:
  static constexpr size_t kMaxReported = 64;

  StreamAccounts(uint32_t epoch, const std::vector<v1::EpochAccount>& found);

  uint64_t Make(v1::Stream stream);  // the next number
  void Receipt(const StreamBatch& batch);
  void Drop(const StreamDrop& drop, uint64_t records);

  // The highest number that was given; nullopt: no such epoch, or settled.
  std::optional<uint64_t> made(v1::Stream stream, uint32_t epoch) const;
  uint64_t waiting(v1::Stream stream) const;  // in all epochs

  bool changed() const { return changed_ || receipted_report_ != reports_; }  // since a report that the server has
  v1::LedgerReport Report();
  // Epochs that are settled now, and forgotten.
  std::vector<StreamEpoch> HearReceipt(uint32_t ledger_epoch, uint32_t ledger_number);

 private:
  struct Account {
    uint64_t made = 0;
    uint64_t waiting = 0;
    std::vector<v1::DroppedRange> dropped;
    uint32_t final_report = 0;  // the first that said that it is over and nothing waits; 0: none yet
  };
  using Key = std::pair<uint32_t, v1::Stream>;  // epoch first: the oldest come first

  void AddTo(v1::LedgerReport& report, const Key& key, Account& account) const;

  const uint32_t epoch_;
  std::map<Key, Account> accounts_;
  bool changed_ = false;
  uint32_t reports_ = 0;
  uint32_t receipted_report_ = 0;
};

}  // namespace fleet::device
