#include "device/stream_accounts.h"

#include <algorithm>

#include "device/dropped_ranges.h"

namespace fleet::device {

StreamAccounts::StreamAccounts(uint32_t epoch, const std::vector<v1::EpochAccount>& found) : epoch_(epoch) {
  for (const v1::EpochAccount& account : found) {
    accounts_[{account.epoch(), account.stream()}] = {.made = account.made(),
                                                      .waiting = account.waiting(),
                                                      .dropped = {account.dropped().begin(), account.dropped().end()}};
    changed_ = true;
  }
}

uint64_t StreamAccounts::Make(v1::Stream stream) {
  Account& account = accounts_[{epoch_, stream}];
  ++account.waiting;
  changed_ = true;
  return ++account.made;
}

void StreamAccounts::Receipt(const StreamBatch& batch) {
  const auto found = accounts_.find({batch.epoch, batch.stream});
  if (found == accounts_.end()) return;
  found->second.waiting -= std::min<uint64_t>(found->second.waiting, batch.records);
  changed_ = true;
}

void StreamAccounts::Drop(const StreamDrop& drop, uint64_t records) {
  const auto found = accounts_.find({drop.epoch, drop.stream});
  if (found == accounts_.end()) return;
  AddDropped(found->second.dropped, drop.range);
  found->second.waiting -= std::min(found->second.waiting, records);
  changed_ = true;
}

std::optional<uint64_t> StreamAccounts::made(v1::Stream stream, uint32_t epoch) const {
  const auto found = accounts_.find({epoch, stream});
  if (found == accounts_.end()) return std::nullopt;
  return found->second.made;
}

uint64_t StreamAccounts::waiting(v1::Stream stream) const {
  uint64_t sum = 0;
  for (const auto& [key, account] : accounts_) {
    if (key.second == stream) sum += account.waiting;
  }
  return sum;
}

v1::LedgerReport StreamAccounts::Report() {
  v1::LedgerReport report;
  report.set_epoch(epoch_);
  report.set_number(++reports_);
  changed_ = false;
  for (auto& [key, account] : accounts_) {
    if (key.first == epoch_) AddTo(report, key, account);
  }
  for (auto& [key, account] : accounts_) {
    if (report.accounts_size() >= static_cast<int>(kMaxReported)) break;
    if (key.first != epoch_) AddTo(report, key, account);
  }
  return report;
}

void StreamAccounts::AddTo(v1::LedgerReport& report, const Key& key, Account& account) const {
  v1::EpochAccount& out = *report.add_accounts();
  out.set_stream(key.second);
  out.set_epoch(key.first);
  out.set_made(account.made);
  out.set_waiting(account.waiting);
  *out.mutable_dropped() = {account.dropped.begin(), account.dropped.end()};
  const bool is_final = key.first != epoch_ && account.waiting == 0;
  if (is_final && account.final_report == 0) account.final_report = report.number();
}

std::vector<StreamEpoch> StreamAccounts::HearReceipt(uint32_t ledger_epoch, uint32_t ledger_number) {
  std::vector<StreamEpoch> settled;
  if (ledger_epoch != epoch_ || ledger_number > reports_ || ledger_number <= receipted_report_) return settled;
  receipted_report_ = ledger_number;
  for (auto it = accounts_.begin(); it != accounts_.end();) {
    const auto& [key, account] = *it;
    const bool is_settled = account.final_report != 0 && account.final_report <= ledger_number;
    if (is_settled) {
      settled.push_back({.stream = key.second, .epoch = key.first, .made = account.made});
      changed_ = true;  // others may take its place in the report
    }
    it = is_settled ? accounts_.erase(it) : std::next(it);
  }
  return settled;
}

}  // namespace fleet::device
