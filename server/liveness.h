// Says which devices are alive, and of the dead ones why (docs/protocol.md section 4).
//
//   Unknown --heartbeat--> Online --1 s--> Stale --2 s after the last heartbeat--> Offline(silent)
//      ^                      ^______________|______________heartbeat________________|
//      |__ our own link down __|             goodbye --> Offline(clean)    will --> Offline(lost)
//
// While two devices take turns under one id (SetReplaced) it is Online(replaced) until 2 s after the last heartbeat of
// either: never Stale, and goodbyes and wills do not count, because they are only ever of one of the two.
//
// Silence proves nothing while the server itself may be deaf: Deaf() makes every living device Unknown, and only after
// Hearing() has held for offline_after are those that stayed silent declared Offline. A will counts only when the
// server still hears kWillConfirm later: a broker that stops says of every device that it is lost, just before it
// leaves. A device never heard of stays Unknown. Pure; loop thread only. O(1) per heartbeat: all timeouts are equal, so
// lists in order of last heartbeat are always sorted by deadline.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet::server {

using DeviceIndex = uint32_t;

enum class LivenessState : uint8_t { kUnknown, kOnline, kStale, kOffline };
enum class OfflineReason : uint8_t { kNone, kClean, kLost, kSilent, kReplaced };
absl::string_view Name(LivenessState state);
absl::string_view Name(OfflineReason reason);              // empty for kNone
LivenessState ParseLivenessState(absl::string_view name);  // unknown names read as kUnknown
OfflineReason ParseOfflineReason(absl::string_view name);

struct LivenessStatus {
  LivenessState state = LivenessState::kUnknown;
  OfflineReason reason = OfflineReason::kNone;  // kNone unless offline, or online and kReplaced
};

struct LivenessChange {
  DeviceIndex device;
  LivenessStatus status;
};

struct LivenessOptions {
  absl::Duration stale_after = absl::Seconds(1);
  absl::Duration offline_after = absl::Seconds(2);
};

class Liveness {
 public:
  // Half of the 300 ms within which a killed agent is to be seen.
  static constexpr absl::Duration kWillConfirm = absl::Milliseconds(150);

  using Changes = std::vector<LivenessChange>;

  explicit Liveness(const LivenessOptions& options) : options_(options) {}

  // Devices are numbered in the order they are added. `heard_before`: in an earlier run of the server; such a device
  // that stays silent is Offline, one never heard stays Unknown. `status`: as the database remembers it; living
  // states are not believed.
  DeviceIndex Add(bool heard_before = false, LivenessStatus status = {});

  void Heard(DeviceIndex device, MonoTime now, Changes& changes);  // a heartbeat
  void SaidGoodbye(DeviceIndex device, Changes& changes);
  void WillArrived(DeviceIndex device, MonoTime now);  // takes effect in a Tick, unless the device is heard before
  void TakeBackWill(DeviceIndex device) { nodes_[device].will_due = MonoTime::Max(); }
  void SetReplaced(DeviceIndex device, bool replaced, Changes& changes);
  void Deaf(Changes& changes);
  void Hearing(MonoTime now);
  void Tick(MonoTime now, Changes& changes);
  MonoTime NextDue() const;

  const LivenessStatus& status(DeviceIndex device) const { return nodes_[device].status; }
  size_t count(LivenessState state) const { return counts_[static_cast<size_t>(state)]; }

 private:
  static constexpr DeviceIndex kNil = UINT32_MAX;
  struct Node {
    LivenessStatus status;
    bool ever_heard = false;
    bool replaced = false;
    MonoTime last_heard;
    MonoTime will_due = MonoTime::Max();  // Max: no will waits
    DeviceIndex prev = kNil;
    DeviceIndex next = kNil;
  };
  struct List {
    DeviceIndex first = kNil;
    DeviceIndex last = kNil;
  };

  List* ListOf(const LivenessStatus& status);
  LivenessStatus Alive(const Node& node) const;
  bool TakesTurns(DeviceIndex device) const;
  void ConfirmWills(MonoTime now, Changes& changes);
  void Unlink(DeviceIndex device);
  void Link(DeviceIndex device, List& list);
  void MoveTo(DeviceIndex device, LivenessStatus status, Changes& changes);
  void DeclareSilentUnknowns(Changes& changes);

  const LivenessOptions options_;
  std::vector<Node> nodes_;
  List online_;  // each in order of the last heartbeat
  List stale_;
  List replaced_;
  size_t counts_[4] = {};
  bool hearing_ = false;
  MonoTime declare_unknown_at_ = MonoTime::Max();
  std::deque<std::pair<MonoTime, DeviceIndex>> wills_;  // by due; an entry counts while the node's will_due equals it
};

}  // namespace fleet::server
