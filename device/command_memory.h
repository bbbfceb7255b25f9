// Which commands this device has taken, and what became of them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "device/spool.h"
#include "fleet/v1/common.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Done, or any other state that nothing follows.
bool IsEnd(v1::CommandState state);
v1::CommandUpdate UpdateOf(const RememberedCommand& command);

// What makes that a command runs at most once, over restarts too: every id that was taken, with its state, in memory
// and in the spool. What had not ended when the last life did is failed, "device_restarted".
//
// A command that is not remembered has not run, provided that the memory reaches back to it: that it was issued after
// the memory began, and that its id is above all that were ever forgotten. Barriers are the highest replacing segment
// and the highest cancel of each entity; what has a lower id and comes later does not run.
//
// Changes are collected and go to the spool at the end of a turn. What the disk did not take is tried again with the
// next change, or after kRetryAfter. Without a spool memory is all there is.
//
// Pure; loop thread only. Bounds: kMaxCommands, of which those are forgotten first of which no copy can be in time any
// more, one for each new one; kMaxWorks at the spool at once.
class CommandMemory {
 public:
  static constexpr size_t kMaxCommands = 4096;
  // More is refused to commands for buses, of which there may be many a second: segments keep room.
  static constexpr size_t kMaxWithBusCommands = kMaxCommands / 4 * 3;
  static constexpr size_t kMaxWorks = 64;
  static constexpr int64_t kMaxTtlMs = 24 * 3'600'000;
  static constexpr int64_t kKeptBeyondExpiryMs = 60'000;
  static constexpr absl::Duration kRetryAfter = absl::Seconds(1);

  // `contents`: nullptr when there is no spool.
  explicit CommandMemory(const SpoolContents* contents);

  // A beat: the server's clock as it came.
  void HearTime(int64_t server_ms);

  const RememberedCommand* Find(uint64_t id) const;  // nullptr: not known; valid until the next change
  bool ReachesBackTo(uint64_t id, int64_t issued_ms) const;
  // Commands for the entity with a lower id than this were taken back, or replaced. 0: none.
  uint64_t CancelledBelow(uint32_t entity_id) const;
  uint64_t ReplacedBelow(uint32_t entity_id) const;

  // A new one. False: full, not remembered. `server_now_ms`: nothing is forgotten without it.
  bool Add(RememberedCommand command, std::optional<int64_t> server_now_ms);
  // A step of a command; of one that is not remembered it is nothing.
  void Change(const v1::CommandUpdate& update);

  // What changed goes into `work`.
  void Save(MonoTime now, SpoolWork& work);
  void Done(const SpoolDone& done, MonoTime now);
  MonoTime NextDue() const;  // of Save

  bool is_kept() const { return is_kept_; }  // there is a spool
  size_t size() const { return commands_.size(); }

 private:
  struct Changes {
    std::set<uint64_t> commands;
    std::vector<uint64_t> forgotten;
    bool forgotten_up_to = false;
    bool began = false;
    bool empty() const { return commands.empty() && forgotten.empty() && !forgotten_up_to && !began; }
  };
  struct Barrier {
    uint64_t cancelled_below = 0;
    uint64_t replaced_below = 0;
  };

  void Insert(RememberedCommand command);
  bool MakeRoom(std::optional<int64_t> server_now_ms);
  std::optional<uint64_t> Forgettable(int64_t server_now_ms) const;
  void Forget(uint64_t id);
  void TakeBack(const SpoolWork& work);
  const Barrier& BarrierOf(uint32_t entity_id) const;

  const bool is_kept_;
  std::optional<int64_t> began_ms_;
  absl::flat_hash_map<uint64_t, RememberedCommand> commands_;
  std::set<std::pair<int64_t, uint64_t>> by_expiry_;  // expires_ms, id
  absl::flat_hash_map<uint32_t, Barrier> barriers_;   // by entity id, 0: all
  uint64_t forgotten_up_to_ = 0;

  Changes unsaved_;
  bool is_fresh_ = false;  // there is more in unsaved_ than what the disk did not take
  MonoTime retry_at_;
  size_t works_ = 0;  // at the spool, with something of ours in them
};

}  // namespace fleet::device
