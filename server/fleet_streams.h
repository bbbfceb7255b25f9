// The durable streams of all devices, and the receipts that their batches wait for. Pure; loop thread only.
#pragma once

#include <map>
#include <vector>

#include "common/clock.h"
#include "server/changes.h"
#include "server/events.h"
#include "server/receipts.h"
#include "server/registry.h"
#include "server/streams.h"

namespace fleet::server {

class FleetStreams {
 public:
  struct Counters {
    uint64_t refused = 0;  // batches and reports that were not taken; the device sends them again
  };

  void Restore(const Device& device, const StreamTotalsRow& row) { Of(device).Restore(row); }
  void Restore(const Device& device, const StreamAccountRow& row) { Of(device).Restore(row); }

  // While the store does not work nothing is taken: what the device keeps needs no memory here.
  void SetStoreWorks(bool works) { store_works_ = works; }

  // The rows go into `rows`, the receipts wait for the commit of its number.
  void Take(const Device& device, const v1::EventBatch& batch, Now now, RowBatch& rows);
  void Take(const Device& device, const v1::TelemetryBatch& batch, Now now, RowBatch& rows);
  void Take(const Device& device, const v1::LedgerReport& report, Now now, RowBatch& rows);
  void DiskLost(const Device& device, uint32_t epoch, RowBatch& rows);

  // Batches of rows up to `number` are on the disk.
  void Committed(uint64_t number, const Registry& registry, std::vector<Publication>& publish);
  // This one never gets there. To be told before the commit of any later one.
  void Lost(uint64_t number, RowBatch& rows);

  // nullptr: it never had any.
  const DeviceStreams* Find(DeviceIndex device) const;
  size_t unbalanced() const { return unbalanced_; }  // devices
  StreamTotals Totals(v1::Stream stream) const;      // of the fleet; walks all devices that have any
  const Counters& counters() const { return counters_; }

 private:
  DeviceStreams& Of(const Device& device);
  template <typename BatchT>
  void TakeRecords(const Device& device, v1::Stream stream, int records, const BatchT& batch, Now now, RowBatch& rows);

  bool store_works_ = true;
  std::map<DeviceIndex, DeviceStreams> streams_;  // bounded by the registry
  Receipts receipts_;
  size_t unbalanced_ = 0;
  Counters counters_;
};

}  // namespace fleet::server
