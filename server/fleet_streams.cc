#include "server/fleet_streams.h"

#include <utility>

#include "common/topics.h"

namespace fleet::server {

DeviceStreams& FleetStreams::Of(const Device& device) {
  return streams_.try_emplace(device.index, device.row).first->second;
}

const DeviceStreams* FleetStreams::Find(DeviceIndex device) const {
  const auto found = streams_.find(device);
  return found == streams_.end() ? nullptr : &found->second;
}

template <typename BatchT>
void FleetStreams::TakeRecords(const Device& device, v1::Stream stream, int records, const BatchT& batch, Now now,
                               RowBatch& rows) {
  std::optional<std::vector<NumberRange>> fresh;
  if (store_works_) fresh = Of(device).Take(batch, now, rows);
  if (!fresh) {
    ++counters_.refused;
    return;
  }
  v1::ReceiptRange range;
  range.set_stream(stream);
  range.set_epoch(batch.epoch());
  range.set_first_seq(batch.first_seq());
  range.set_last_seq(batch.first_seq() + static_cast<uint64_t>(records) - 1);
  receipts_.Await(rows.number, device.index, range, *std::move(fresh));
}

void FleetStreams::Take(const Device& device, const v1::EventBatch& batch, Now now, RowBatch& rows) {
  TakeRecords(device, v1::STREAM_EVENT, batch.events_size(), batch, now, rows);
}

void FleetStreams::Take(const Device& device, const v1::TelemetryBatch& batch, Now now, RowBatch& rows) {
  TakeRecords(device, v1::STREAM_TELEMETRY, batch.value_size(), batch, now, rows);
}

void FleetStreams::Take(const Device& device, const v1::LedgerReport& report, Now now, RowBatch& rows) {
  if (!store_works_) {
    ++counters_.refused;
    return;
  }
  DeviceStreams& streams = Of(device);
  const bool was_balanced = streams.balanced();
  const bool complete = streams.Take(report, now, rows);
  if (was_balanced && !streams.balanced()) ++unbalanced_;
  if (!was_balanced && streams.balanced()) --unbalanced_;
  if (complete) {
    receipts_.AwaitLedger(rows.number, device.index, report.epoch(), report.number());
  } else {
    ++counters_.refused;
  }
}

void FleetStreams::DiskLost(const Device& device, uint32_t epoch, RowBatch& rows) {
  receipts_.Forget(device.index);
  const auto found = streams_.find(device.index);
  if (found == streams_.end()) return;
  if (!found->second.balanced()) --unbalanced_;
  found->second.DiskLost(epoch, rows);
}

void FleetStreams::Committed(uint64_t number, const Registry& registry, std::vector<Publication>& publish) {
  if (receipts_.empty()) return;
  for (const Receipts::Due& due : receipts_.Committed(number)) {
    publish.push_back(
        {.topic = ReceiptTopic(registry.at(due.device).id), .payload = due.receipt.SerializeAsString(), .qos = 1});
  }
}

void FleetStreams::Lost(uint64_t number, RowBatch& rows) {
  const std::vector<Receipts::Unstored> lost = receipts_.Lost(number);
  for (const Receipts::Unstored& unstored : lost) {
    if (unstored.stream != v1::STREAM_UNSPECIFIED) {
      streams_.at(unstored.device).Unstore(unstored.stream, unstored.epoch, unstored.ranges);
    }
  }
  for (const Receipts::Unstored& unstored : lost) streams_.at(unstored.device).WriteAll(rows);
}

StreamTotals FleetStreams::Totals(v1::Stream stream) const {
  StreamTotals sum;
  for (const auto& [device, streams] : streams_) {
    const StreamTotals totals = streams.Totals(stream);
    sum.sent += totals.sent;
    sum.stored += totals.stored;
    sum.duplicate += totals.duplicate;
    for (const auto& [reason, count] : totals.dropped) sum.dropped[reason] += count;
  }
  return sum;
}

}  // namespace fleet::server
