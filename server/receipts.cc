#include "server/receipts.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace fleet::server {

void Receipts::Await(uint64_t number, DeviceIndex device, const v1::ReceiptRange& range,
                     std::vector<NumberRange> fresh) {
  waiting_.push_back({.number = number, .device = device, .range = range, .fresh = std::move(fresh)});
}

void Receipts::AwaitLedger(uint64_t number, DeviceIndex device, uint32_t epoch, uint32_t ledger_number) {
  Waiting waiting{.number = number, .device = device};
  waiting.ledger_number = ledger_number;
  waiting.ledger_epoch = epoch;
  waiting_.push_back(std::move(waiting));
}

std::vector<Receipts::Due> Receipts::Committed(uint64_t number) {
  std::vector<Due> due;
  absl::flat_hash_map<DeviceIndex, size_t> place;
  for (; !waiting_.empty() && waiting_.front().number <= number; waiting_.pop_front()) {
    const Waiting& waiting = waiting_.front();
    const auto [at, is_new] = place.try_emplace(waiting.device, due.size());
    if (!is_new && due[at->second].receipt.ranges_size() >= kMaxRanges) at->second = due.size();
    if (at->second == due.size()) due.push_back({.device = waiting.device, .receipt = {}});
    v1::Receipt& receipt = due[at->second].receipt;
    if (waiting.ledger_number == 0) {
      *receipt.add_ranges() = waiting.range;
    } else {
      receipt.set_ledger_number(waiting.ledger_number);
      receipt.set_ledger_epoch(waiting.ledger_epoch);
    }
  }
  return due;
}

bool Receipts::Overlap(const Waiting& waiting, const Unstored& unstored) {
  const v1::ReceiptRange& range = waiting.range;
  if (waiting.device != unstored.device || range.stream() != unstored.stream || range.epoch() != unstored.epoch) {
    return false;
  }
  return std::ranges::any_of(unstored.ranges, [&](const NumberRange& lost) {
    return lost.first <= range.last_seq() && range.first_seq() <= lost.last;
  });
}

std::vector<Receipts::Unstored> Receipts::Lost(uint64_t number) {
  std::vector<Unstored> lost;
  for (Waiting& waiting : waiting_) {
    if (waiting.number != number) continue;
    lost.push_back({.device = waiting.device,
                    .stream = waiting.range.stream(),
                    .epoch = waiting.range.epoch(),
                    .ranges = std::move(waiting.fresh)});
  }
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    return waiting.number == number ||
           std::ranges::any_of(lost, [&](const Unstored& unstored) { return Overlap(waiting, unstored); });
  });
  return lost;
}

void Receipts::Forget(DeviceIndex device) {
  std::erase_if(waiting_, [device](const Waiting& waiting) { return waiting.device == device; });
}

}  // namespace fleet::server
