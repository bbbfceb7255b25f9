// The whole domain of the server: what it knows of the fleet and what it wants done. Data and `now` come in, Changes go
// out; nothing here reads a clock, a socket or a file, so a fleet of ten thousand is a unit test.
//
// Loop thread only. The same calls in the same order give the same Changes.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "server/changes.h"
#include "server/commands.h"
#include "server/events.h"
#include "server/fleet_streams.h"
#include "server/hearing.h"
#include "server/liveness.h"
#include "server/patrol.h"
#include "server/registry.h"
#include "server/timetable.h"

namespace fleet::server {

// What the database remembers of an earlier run.
struct SavedFleet {
  uint32_t server_epoch = 1;                // of this run
  std::optional<int64_t> steady_offset_ms;  // steady minus monotonic clock; absent: begin at the wall clock
  CommandId next_command{1};
  std::vector<DeviceRow> devices;
  std::vector<SavedCommand> open_commands;
  std::vector<StreamTotalsRow> stream_totals;
  std::vector<StreamAccountRow> stream_accounts;
};

struct FleetOptions {
  LivenessOptions liveness;
  size_t max_devices = 20'000;
  size_t max_open_commands = 100'000;
  absl::Duration max_ttl = absl::Hours(1);
  absl::Duration patrol = absl::ZeroDuration();  // zero: off
};

struct SubmitOptions {
  absl::Duration ttl;
  bool queue = false;  // for a device that is offline: wait for it within the time to live
};

// What taking back led to. `ended` had not been sent and ended at once.
struct Cancelled {
  std::vector<CommandId> ended;
  std::optional<CommandId> sent;  // the cancel command; absent: none was needed
};

// One device's part in a stop of all.
struct Stopped {
  DeviceIndex device;
  absl::StatusOr<CommandId> sent;
};

class FleetState {
 public:
  static constexpr absl::Duration kBeatPeriod = absl::Seconds(1);
  static constexpr absl::Duration kCloneAlarm = absl::Seconds(30);       // after the last life that came back
  static constexpr absl::Duration kFlushStates = absl::Seconds(1);       // age at which state reports are written
  static constexpr absl::Duration kFlushHeartbeats = absl::Seconds(10);  // age at which mere counters are

  struct Counters {
    uint64_t stale_epoch = 0;      // messages of an older life of the device
    uint64_t devices_refused = 0;  // messages of devices past max_devices
    uint64_t entities_refused = 0;
    uint64_t state_reports = 0;
    uint64_t heartbeats = 0;
    uint64_t gateway_states = 0;
  };

  FleetState(const FleetOptions& options, SavedFleet saved, Now start, Changes& changes);

  void LinkUp(Now now, Changes& changes);
  void LinkDown(Now now, Changes& changes);
  // Any message at all arrived, understood or not: the server hears.
  void MessageArrived(Now now) { hearing_.Message(now.mono); }
  void Apply(const Event& event, Now now, Changes& changes);
  void Tick(Now now, Changes& changes);
  MonoTime NextDue() const;

  // ---- commands: fleet_commands.cc
  // Any but a cancel. kNotFound: no such device; kFailedPrecondition: it is offline, or there are two of it;
  // kInvalidArgument: the body or its ttl cannot be; kOutOfRange: the body is too large; kResourceExhausted: too many
  // open commands.
  absl::StatusOr<CommandId> Submit(absl::string_view device_id, const CommandBody& body, const SubmitOptions& options,
                                   Now now, Changes& changes);
  // Takes back one command. kNotFound: none such that has not ended; kInvalidArgument: it is itself a cancel;
  // kFailedPrecondition: it may be on its device, which is offline.
  absl::StatusOr<Cancelled> CancelCommand(CommandId id, absl::Duration ttl, Now now, Changes& changes);
  // Takes back what `cancel` covers: of an entity, of the device, or a stop. kFailedPrecondition: what was not sent yet
  // has ended, but the device is offline and may hold more.
  absl::StatusOr<Cancelled> CancelOn(absl::string_view device_id, const v1::Cancel& cancel, absl::Duration ttl, Now now,
                                     Changes& changes);
  // Every device that is not offline, and those that are offline and may hold something.
  std::vector<Stopped> StopAll(absl::Duration ttl, Now now, Changes& changes);
  // Asks the device what became of it, from the next Tick on. kNotFound: no such command that has not ended.
  absl::Status Reconcile(CommandId id, Now now);

  // The answer to each command of `changes.stops` and `changes.commands_due`.
  void Sent(CommandId id, bool ok, Now now, Changes& changes) { commands_.Sent(id, ok, registry_, now, changes.rows); }

  // Rows up to this batch are on the disk.
  void Committed(uint64_t batch, Changes& changes);
  // This one was refused by the database for good. To be told before the commit of any later one.
  void Lost(uint64_t batch, Now now, Changes& changes);
  // While the store does not work no batch of a stream is taken, and nothing is sent on patrol.
  void SetStoreWorks(bool works);

  // Writes everything that waits to be written, before a clean stop.
  void Flush(Changes& changes);

  const Registry& registry() const { return registry_; }
  const Liveness& liveness() const { return liveness_; }
  const FleetStreams& streams() const { return streams_; }
  const Commands& commands() const { return commands_; }
  const Hearing& hearing() const { return hearing_; }
  const Counters& counters() const { return counters_; }
  int64_t SteadyUnixMs(Now now) const { return now.mono.millis() + steady_offset_ms_; }

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
  void On(const EventBatchEvent& event, Now now, Changes& changes);
  void On(const TelemetryEvent& event, Now now, Changes& changes);
  void On(const LedgerEvent& event, Now now, Changes& changes);
  // What a bus says is for who taps it (TapStreams) and proves nothing about its device: a batch may have waited.
  void On(const CanBatchEvent&, Now, Changes&) {}
  void On(const GatewayStateEvent&, Now, Changes&) { ++counters_.gateway_states; }

  Device* FindOrAdd(absl::string_view id, Changes& changes);

  // ---- lives: fleet_lives.cc
  void SaidOnline(Device& device, const StatusEvent& event, Now now, Changes& changes);
  void SaidGone(Device& device, const v1::Status& status, Now now, Changes& changes);
  // False: the message is of an older life and must be ignored. A newer one starts.
  bool EnterLife(Device& device, uint32_t epoch, Now now, Changes& changes);
  // The device is in `life`, which may be one before the one that we know.
  void Adopt(Device& device, const Life& life, Now now, Changes& changes);
  // True: the device was in this life before.
  bool ChangeLife(Device& device, const Life& life, Now now);
  void RaiseCloneAlarm(Device& device, Now now, Changes& changes);
  void EndCloneAlarms(Now now, Changes& changes);

  void ApplyLiveness(Now now, Changes& changes);
  void DeclareGone(Device& device, OfflineReason reason, Now now, Changes& changes);
  void FlushLater(Device& device, MonoTime due, std::deque<WaitingFlush>& queue);
  void FlushDevice(Device& device, Changes& changes);
  void FlushDue(std::deque<WaitingFlush>& queue, MonoTime now, Changes& changes);
  void SendBeat(Now now, std::vector<Publication>& publish);  // when it is due
  void SendBeats(Now now, Changes& changes);
  // A device that has not heard a beat since it came online cannot judge the age of a command and would refuse it.
  void BeatBeforeCommand(const Device& device, Now now);
  void SendPatrol(Now now, Changes& changes);
  absl::StatusOr<CommandId> SendCancel(Device& device, const v1::Cancel& cancel, absl::Duration ttl, Now now,
                                       Changes& changes);
  absl::StatusOr<Cancelled> CancelOnDevice(Device& device, const v1::Cancel& cancel, absl::Duration ttl, Now now,
                                           Changes& changes);

  const uint32_t server_epoch_;
  const int64_t steady_offset_ms_;
  Registry registry_;
  Liveness liveness_;
  Commands commands_;
  FleetStreams streams_;
  Hearing hearing_;
  bool was_hearing_ = false;
  bool store_works_ = true;
  Patrol patrol_;
  Timetable<DeviceIndex> clone_alarms_;
  MonoTime last_beat_;
  MonoTime next_beat_;
  MonoTime next_probe_;
  std::deque<WaitingFlush> flush_states_;  // each sorted by due
  std::deque<WaitingFlush> flush_heartbeats_;
  Liveness::Changes liveness_changes_;  // of the call under way
  Counters counters_;
};

}  // namespace fleet::server
