// Which segment each entity runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "device/effects.h"
#include "device/entity_driver.h"
#include "device/inputs.h"
#include "device/segment_order.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Runs at most one segment per entity; a newer one takes the place of the older.
//
//   received > accepted > running --the driver's time is over, or SegmentEnded--> done | failed
//                            |  '--a newer one--> superseded
//                            '--a hold expires--> done
//
// A segment that the driver does not take is rejected with the driver's reason and the one that runs goes on. When the
// last controller has been gone for kControllerGrace, what external entities run has failed ("controller_lost"): nobody
// can say any more how it ends. Loop thread only; bounded by the number of entities.
class SegmentExecutor {
 public:
  static constexpr absl::Duration kControllerGrace = absl::Seconds(5);  // enough to reconnect
  static constexpr size_t kMaxDetailBytes = 200;

  explicit SegmentExecutor(std::vector<DrivenEntity> entities);

  // Everything here appends the steps that commands take to `updates`.
  using Updates = std::vector<v1::CommandUpdate>;
  // Precondition: the gate let it pass, so its entity is one of ours.
  void Start(const SegmentOrder& order, MonoTime now, Updates& updates, Effects& effects);
  void End(const SegmentEnded& end, MonoTime now, Updates& updates, Effects& effects);
  void Tick(MonoTime now, Updates& updates, Effects& effects);
  void Feed(const PoseFed& fed, MonoTime now);
  void SetListening(bool listening, MonoTime now);

  MonoTime NextDue() const { return next_due_; }
  const std::vector<DrivenEntity>& entities() const { return entities_; }
  uint64_t done() const { return done_; }
  uint64_t failed() const { return failed_; }
  uint64_t superseded() const { return superseded_; }

 private:
  struct Running {
    SegmentOrder order;
    MonoTime ends_at;
  };

  std::optional<size_t> IndexOf(EntityId id) const;
  void Finish(size_t index, const SegmentEnded& end, absl::string_view reason, Updates& updates);
  void Stop(size_t index, MonoTime now, Effects& effects);
  void FailExternal(MonoTime now, Updates& updates, Effects& effects);
  void FindNextDue();

  const std::vector<DrivenEntity> entities_;
  std::vector<std::optional<Running>> running_;  // of entities_[i]
  MonoTime controller_lost_at_ = MonoTime::Max();
  MonoTime next_due_ = MonoTime::Max();
  uint64_t done_ = 0;
  uint64_t failed_ = 0;
  uint64_t superseded_ = 0;
};

}  // namespace fleet::device
