// What moves one entity.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/effects.h"
#include "device/pose.h"
#include "device/segment_order.h"

namespace fleet::device {

// Implemented by SimulatedDriver, ExternalDriver, and by controllers that link this library. Loop thread only; nothing
// here may block.
class EntityDriver {
 public:
  virtual ~EntityDriver() = default;

  // Takes up `order` in place of the one it has, and says when that will be done: MonoTime::Max() when a SegmentEnded
  // will say so. A hold is ended by the agent at its expiry, whatever this returns. Not OK: it cannot, goes on with
  // what it did, and the message is the reason that the operator sees (one word, as in docs/protocol.md section 6).
  virtual absl::StatusOr<MonoTime> Start(const SegmentOrder& order, MonoTime now, Effects& effects) = 0;

  // The order has ended, in whatever way: stand still until the next one. Not called when another takes its place.
  virtual void Stop(const SegmentOrder& order, MonoTime now, Effects& effects) = 0;

  // nullopt: not known, so not reported.
  virtual std::optional<Pose> PoseAt(MonoTime now) const = 0;

  // For drivers that are fed from outside the agent.
  virtual bool is_external() const { return false; }
  virtual void Feed(const Pose&, MonoTime) {}
  virtual void SetListening(bool) {}  // whether a controller would hear a Start
};

struct DrivenEntity {
  EntityId id{};
  std::unique_ptr<EntityDriver> driver;
};

}  // namespace fleet::device
