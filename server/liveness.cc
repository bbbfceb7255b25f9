#include "server/liveness.h"

#include <algorithm>
#include <array>

#include "common/status_macros.h"

namespace fleet::server {
namespace {
constexpr std::array<absl::string_view, 4> kStateNames = {"unknown", "online", "stale", "offline"};
constexpr std::array<absl::string_view, 5> kReasonNames = {"", "clean", "lost", "silent", "replaced"};

template <typename E, size_t N>
E ParseName(const std::array<absl::string_view, N>& names, absl::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? E{} : static_cast<E>(found - names.begin());
}
}  // namespace

absl::string_view Name(LivenessState state) {
  return kStateNames[static_cast<size_t>(state)];
}
absl::string_view Name(OfflineReason reason) {
  return kReasonNames[static_cast<size_t>(reason)];
}
LivenessState ParseLivenessState(absl::string_view name) {
  return ParseName<LivenessState>(kStateNames, name);
}
OfflineReason ParseOfflineReason(absl::string_view name) {
  return ParseName<OfflineReason>(kReasonNames, name);
}

DeviceIndex Liveness::Add(bool heard_before, LivenessStatus status) {
  const auto device = static_cast<DeviceIndex>(nodes_.size());
  Node node;
  node.ever_heard = heard_before;
  if (status.state == LivenessState::kOffline) node.status = status;
  nodes_.push_back(node);
  ++counts_[static_cast<size_t>(node.status.state)];
  return device;
}

void Liveness::Heard(DeviceIndex device, MonoTime now, Changes& changes) {
  Node& node = nodes_[device];
  node.last_heard = now;
  node.ever_heard = true;
  node.will_due = MonoTime::Max();
  MoveTo(device, Alive(node), changes);
}

LivenessStatus Liveness::Alive(const Node& node) const {
  return {LivenessState::kOnline, node.replaced ? OfflineReason::kReplaced : OfflineReason::kNone};
}

bool Liveness::TakesTurns(DeviceIndex device) const {
  return nodes_[device].replaced && nodes_[device].status.state == LivenessState::kOnline;
}

void Liveness::SetReplaced(DeviceIndex device, bool replaced, Changes& changes) {
  Node& node = nodes_[device];
  node.replaced = replaced;
  if (ListOf(node.status) == nullptr) return;
  node.will_due = MonoTime::Max();
  MoveTo(device, Alive(node), changes);
}

void Liveness::SaidGoodbye(DeviceIndex device, Changes& changes) {
  if (TakesTurns(device)) return;
  nodes_[device].ever_heard = true;
  nodes_[device].will_due = MonoTime::Max();
  MoveTo(device, {LivenessState::kOffline, OfflineReason::kClean}, changes);
}

void Liveness::WillArrived(DeviceIndex device, MonoTime now) {
  if (TakesTurns(device)) return;
  Node& node = nodes_[device];
  node.ever_heard = true;
  // While it is not yet sure who is alive, a stored will may be older than the device's next connection.
  const MonoTime earliest = now + kWillConfirm;
  node.will_due = declare_unknown_at_ == MonoTime::Max() ? earliest : std::max(earliest, declare_unknown_at_);
  wills_.emplace_back(node.will_due, device);
}

void Liveness::ConfirmWills(MonoTime now, Changes& changes) {
  while (!wills_.empty() && wills_.front().first <= now) {
    const auto [due, device] = wills_.front();
    wills_.pop_front();
    Node& node = nodes_[device];
    if (node.will_due != due) continue;
    node.will_due = MonoTime::Max();
    // The broker's word is better than our guess, but does not overrule a goodbye.
    const bool gone = node.status.state == LivenessState::kOffline && node.status.reason != OfflineReason::kSilent;
    if (!gone) MoveTo(device, {LivenessState::kOffline, OfflineReason::kLost}, changes);
  }
}

void Liveness::Deaf(Changes& changes) {
  hearing_ = false;
  declare_unknown_at_ = MonoTime::Max();
  for (const auto& [due, device] : wills_) nodes_[device].will_due = MonoTime::Max();
  wills_.clear();
  for (List* list : {&online_, &stale_, &replaced_}) {
    while (list->first != kNil) MoveTo(list->first, {}, changes);
  }
}

void Liveness::Hearing(MonoTime now) {
  if (hearing_) return;
  hearing_ = true;
  declare_unknown_at_ = now + options_.offline_after;
  // Wills that the broker had stored came before we knew that we hear: by then their devices may be back.
  for (auto& [due, device] : wills_) {
    if (nodes_[device].will_due == due) nodes_[device].will_due = declare_unknown_at_;
    due = declare_unknown_at_;
  }
}

void Liveness::Tick(MonoTime now, Changes& changes) {
  if (!hearing_) return;
  ConfirmWills(now, changes);
  while (online_.first != kNil && nodes_[online_.first].last_heard + options_.stale_after <= now) {
    MoveTo(online_.first, {LivenessState::kStale, OfflineReason::kNone}, changes);
  }
  for (List* list : {&stale_, &replaced_}) {
    while (list->first != kNil && nodes_[list->first].last_heard + options_.offline_after <= now) {
      MoveTo(list->first, {LivenessState::kOffline, OfflineReason::kSilent}, changes);
    }
  }
  if (declare_unknown_at_ <= now) DeclareSilentUnknowns(changes);
}

void Liveness::DeclareSilentUnknowns(Changes& changes) {
  declare_unknown_at_ = MonoTime::Max();
  for (DeviceIndex device = 0; device < nodes_.size(); ++device) {
    const Node& node = nodes_[device];
    if (node.status.state != LivenessState::kUnknown || !node.ever_heard) continue;
    MoveTo(device, {LivenessState::kOffline, OfflineReason::kSilent}, changes);
  }
}

MonoTime Liveness::NextDue() const {
  if (!hearing_) return MonoTime::Max();
  MonoTime due = declare_unknown_at_;
  if (!wills_.empty()) due = std::min(due, wills_.front().first);
  if (online_.first != kNil) due = std::min(due, nodes_[online_.first].last_heard + options_.stale_after);
  for (const List* list : {&stale_, &replaced_}) {
    if (list->first != kNil) due = std::min(due, nodes_[list->first].last_heard + options_.offline_after);
  }
  return due;
}

Liveness::List* Liveness::ListOf(const LivenessStatus& status) {
  switch (status.state) {
    case LivenessState::kOnline:
      return status.reason == OfflineReason::kReplaced ? &replaced_ : &online_;
    case LivenessState::kStale:
      return &stale_;
    case LivenessState::kUnknown:
    case LivenessState::kOffline:
      return nullptr;
  }
  return nullptr;
}

void Liveness::Unlink(DeviceIndex device) {
  Node& node = nodes_[device];
  List* list = ListOf(node.status);
  if (list == nullptr) return;
  (node.prev == kNil ? list->first : nodes_[node.prev].next) = node.next;
  (node.next == kNil ? list->last : nodes_[node.next].prev) = node.prev;
}

// Behind all that were last heard no later: a heartbeat puts a device at the end at once, only a change of SetReplaced
// walks.
void Liveness::Link(DeviceIndex device, List& list) {
  Node& node = nodes_[device];
  node.prev = list.last;
  node.next = kNil;
  while (node.prev != kNil && nodes_[node.prev].last_heard > node.last_heard) {
    node.next = node.prev;
    node.prev = nodes_[node.prev].prev;
  }
  (node.prev == kNil ? list.first : nodes_[node.prev].next) = device;
  (node.next == kNil ? list.last : nodes_[node.next].prev) = device;
}

void Liveness::MoveTo(DeviceIndex device, LivenessStatus status, Changes& changes) {
  Node& node = nodes_[device];
  Unlink(device);
  if (node.status.state != status.state || node.status.reason != status.reason) {
    --counts_[static_cast<size_t>(node.status.state)];
    ++counts_[static_cast<size_t>(status.state)];
    changes.push_back({device, status});
  }
  node.status = status;
  if (List* list = ListOf(status)) Link(device, *list);
}

}  // namespace fleet::server
