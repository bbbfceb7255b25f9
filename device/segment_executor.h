// Which segment each entity runs, and which wait.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "device/effects.h"
#include "device/entity_driver.h"
#include "device/fail_safe.h"
#include "device/inputs.h"
#include "device/segment_order.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Runs at most one segment per entity; others wait in a line, in the order in which they came.
//
//   Add --> waiting --saved, and its turn--> running --the driver's time is over, or SegmentEnded--> done | failed
//              |                                |  '--a hold expires--> done
//              |-- time to live over --> expired|
//              '--------------------------------+--a replacing one starts--> superseded
//                                               '--Cancel, fail-safe--> cancelled | failed
//
// None starts before it is saved: before the disk remembers it (CommandMemory). Then it is the turn of a replacing one
// at once, and it ends what runs and what is before it in the line; one in mode append waits until all that has ended.
// Of replacing segments only the newest waits. A segment that the driver does not take is rejected with the driver's
// reason, and what was there before goes on. When the last controller has been gone for kControllerGrace, what external
// entities run has failed ("controller_lost"): nobody can say any more how it ends.
//
// Loop thread only. Bounds: the number of entities, and kMaxWaiting and one replacing segment in each line.
class SegmentExecutor {
 public:
  static constexpr absl::Duration kControllerGrace = absl::Seconds(5);  // enough to reconnect
  static constexpr size_t kMaxWaiting = 32;
  static constexpr size_t kMaxDetailBytes = 200;

  explicit SegmentExecutor(std::vector<DrivenEntity> entities);

  // Everything here appends the steps that commands take to `updates`.
  using Updates = std::vector<v1::CommandUpdate>;
  using Covers = std::function<bool(const SegmentOrder&)>;

  // Precondition: the gate let it pass, so its entity is one of ours.
  void Add(const SegmentOrder& order, bool is_saved, MonoTime now, Updates& updates, Effects& effects);
  // The disk remembers this command, or cannot. Nothing happens if it does not wait for that.
  void Saved(CommandId command, bool ok, MonoTime now, Updates& updates, Effects& effects);
  void End(const SegmentEnded& end, MonoTime now, Updates& updates, Effects& effects);
  // Ends what is covered, with the state cancelled; how many.
  size_t Cancel(const Covers& covers, absl::string_view reason, MonoTime now, Updates& updates, Effects& effects);
  void EnterFailSafe(const FailSafeOptions& options, MonoTime now, Updates& updates, Effects& effects);
  void Tick(MonoTime now, Updates& updates, Effects& effects);
  void Feed(const PoseFed& fed, MonoTime now);
  void SetListening(bool listening, MonoTime now);

  MonoTime NextDue() const { return next_due_; }
  const std::vector<DrivenEntity>& entities() const { return entities_; }
  uint64_t done() const { return done_; }
  uint64_t failed() const { return failed_; }
  uint64_t superseded() const { return superseded_; }
  uint64_t cancelled() const { return cancelled_; }
  uint64_t expired() const { return expired_; }

 private:
  struct Running {
    SegmentOrder order;
    MonoTime ends_at;
  };
  struct Waiting {
    SegmentOrder order;
    bool is_saved = false;
  };
  struct Line {
    std::optional<Running> running;
    std::vector<Waiting> waiting;
  };
  // How a command ends, all but its id.
  struct Ending {
    v1::CommandState state = v1::COMMAND_STATE_UNSPECIFIED;
    absl::string_view reason;
    absl::string_view detail;
  };

  std::optional<size_t> IndexOf(EntityId id) const;
  void Say(CommandId command, const Ending& ending, Updates& updates);
  size_t EndWaiting(Line& line, const Covers& covers, const Ending& ending, Updates& updates);
  void EndRunning(size_t index, const Ending& ending, MonoTime now, Updates& updates, Effects& effects);
  void FailExternal(MonoTime now, Updates& updates, Effects& effects);
  // Drops what has expired and starts what may start.
  void Advance(size_t index, MonoTime now, Updates& updates, Effects& effects);
  static std::optional<size_t> NextOf(const Line& line);
  void Start(size_t index, size_t place, MonoTime now, Updates& updates, Effects& effects);
  void FindNextDue();

  const std::vector<DrivenEntity> entities_;
  std::vector<Line> lines_;  // of entities_[i]
  MonoTime controller_lost_at_ = MonoTime::Max();
  MonoTime next_due_ = MonoTime::Max();
  uint64_t done_ = 0;
  uint64_t failed_ = 0;
  uint64_t superseded_ = 0;
  uint64_t cancelled_ = 0;
  uint64_t expired_ = 0;
};

}  // namespace fleet::device
