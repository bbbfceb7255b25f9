// Receipts that wait for their commit: a device hears of its batch when the batch is on the disk, never before.
// Pure; loop thread only. Bounded by what the store lets wait.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "fleet/v1/to_device.pb.h"
#include "server/liveness.h"
#include "server/number_set.h"

namespace fleet::server {

class Receipts {
 public:
  static constexpr int kMaxRanges = 1000;  // in one Receipt; some 16 KiB

  // The batch of records `range` goes to the disk with batch `number` of rows; `fresh`: those of them that were new.
  void Await(uint64_t number, DeviceIndex device, const v1::ReceiptRange& range, std::vector<NumberRange> fresh);
  void AwaitLedger(uint64_t number, DeviceIndex device, uint32_t epoch, uint32_t ledger_number);

  struct Due {
    DeviceIndex device;
    v1::Receipt receipt;
  };
  // Batches up to `number` are committed: one receipt per device, in the order of their first batch.
  std::vector<Due> Committed(uint64_t number);

  // What a batch of rows that never reached the disk had in it.
  struct Unstored {
    DeviceIndex device;
    v1::Stream stream = v1::STREAM_UNSPECIFIED;  // unspecified: a ledger report
    uint32_t epoch = 0;
    std::vector<NumberRange> ranges;
  };
  // Its receipts are never sent, nor those of later copies of the same records; the devices send again.
  std::vector<Unstored> Lost(uint64_t number);

  // The device uses its numbers anew: what waits is about others.
  void Forget(DeviceIndex device);

  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    uint64_t number;
    DeviceIndex device;
    v1::ReceiptRange range;  // of a batch of records
    std::vector<NumberRange> fresh;
    uint32_t ledger_number = 0;  // 0: a batch of records
    uint32_t ledger_epoch = 0;
  };
  static bool Overlap(const Waiting& waiting, const Unstored& unstored);
  std::deque<Waiting> waiting_;  // by number
};

}  // namespace fleet::server
