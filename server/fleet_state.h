// The whole domain of the server: what it knows of the fleet and what it wants done. Data and `now` come in, Changes go
// out; nothing here reads a clock, a socket or a file, so a fleet of ten thousand is a unit test.
//
// Loop thread only. The same calls in the same order give the same Changes.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "server/changes.h"
#include "server/commands.h"
#include "server/events.h"
#include "server/hearing.h"
#include "server/liveness.h"
#include "server/patrol.h"
#include "server/registry.h"

namespace fleet::server {

// What the database remembers of an earlier run.
struct SavedFleet {
  uint32_t server_epoch = 1;  // of this run
  CommandId next_command{1};
  std::vector<DeviceRow> devices;
  std::vector<SavedCommand> open_commands;
};

struct FleetOptions {
  LivenessOptions liveness;
  size_t max_devices = 20'000;
  size_t max_open_commands = 100'000;
  absl::Duration max_ttl = absl::Hours(1);
  absl::Duration patrol = absl::ZeroDuration();  // zero: off
};

class FleetState {
 public:
  static constexpr absl::Duration kBeatPeriod = absl::Seconds(1);
  static constexpr absl::Duration kFlushStates = absl::Seconds(1);       // age at which state reports are written
  static constexpr absl::Duration kFlushHeartbeats = absl::Seconds(10);  // age at which mere counters are

  struct Counters {
    uint64_t stale_epoch = 0;      // messages of an older life of the device
    uint64_t devices_refused = 0;  // messages of devices past max_devices
    uint64_t entities_refused = 0;
    uint64_t state_reports = 0;
    uint64_t heartbeats = 0;
  };

  FleetState(const FleetOptions& options, SavedFleet saved, Now start, Changes& changes);

  void LinkUp(Now now, Changes& changes);
  void LinkDown(Now now, Changes& changes);
  // Any message at all arrived, understood or not: the server hears.
  void MessageArrived(Now now) { hearing_.Message(now.mono); }
  void Apply(const Event& event, Now now, Changes& changes);
  void Tick(Now now, Changes& changes);
  MonoTime NextDue() const;

  // kNotFound: no such device; kFailedPrecondition: it is offline; kInvalidArgument: the segment or its ttl cannot be;
  // kResourceExhausted: too many open commands.
  absl::StatusOr<CommandId> Submit(absl::string_view device_id, const v1::Segment& segment, absl::Duration ttl, Now now,
                                   Changes& changes);
  void Committed(uint64_t batch, Changes& changes) { commands_.Committed(batch, changes.commands_due); }
  void Sent(CommandId id, bool ok, Now now, Changes& changes) { commands_.Sent(id, ok, registry_, now, changes.rows); }

  // Writes everything that waits to be written, before a clean stop.
  void Flush(Changes& changes);

  const Registry& registry() const { return registry_; }
  const Liveness& liveness() const { return liveness_; }
  const Commands& commands() const { return commands_; }
  const Hearing& hearing() const { return hearing_; }
  const Counters& counters() const { return counters_; }
  int64_t SteadyUnixMs(Now now) const { return start_unix_ms_ + absl::ToInt64Milliseconds(now.mono - start_); }

 private:
  struct WaitingFlush {
    MonoTime due;
    DeviceIndex device;
  };

  void Restore(const SavedFleet& saved, Now now, Changes& changes);
  void On(const HeartbeatEvent& event, Now now, Changes& changes);
  void On(const StateEvent& event, Now now, Changes& changes);
  void On(const StatusEvent& event, Now now, Changes& changes);
  void On(const CommandReportEvent& event, Now now, Changes& changes);

  Device* FindOrAdd(absl::string_view id, Changes& changes);
  // False: the message is of an older life and must be ignored. A newer one starts.
  bool EnterLife(Device& device, uint32_t epoch, Now now, Changes& changes);
  void StartLife(Device& device, uint32_t epoch, uint64_t started_unix_ms, Now now, Changes& changes);
  void ApplyLiveness(Now now, Changes& changes);
  void DeclareGone(Device& device, OfflineReason reason, Now now, Changes& changes);
  void FlushLater(Device& device, MonoTime due, std::deque<WaitingFlush>& queue);
  void FlushDevice(Device& device, Changes& changes);
  void FlushDue(std::deque<WaitingFlush>& queue, MonoTime now, Changes& changes);
  void SendBeats(Now now, Changes& changes);
  // A device that has not heard a beat since it came online cannot judge the age of a command and would refuse it.
  void BeatBeforeCommand(const Device& device, Now now);
  void SendPatrol(Now now, Changes& changes);

  const uint32_t server_epoch_;
  const MonoTime start_;
  const int64_t start_unix_ms_;
  Registry registry_;
  Liveness liveness_;
  Commands commands_;
  Hearing hearing_;
  bool was_hearing_ = false;
  Patrol patrol_;
  MonoTime last_beat_;
  MonoTime next_beat_;
  MonoTime next_probe_;
  std::deque<WaitingFlush> flush_states_;  // each sorted by due
  std::deque<WaitingFlush> flush_heartbeats_;
  Liveness::Changes liveness_changes_;  // of the call under way
  Counters counters_;
};

}  // namespace fleet::server
