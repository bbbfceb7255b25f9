// A FleetState that hears, and devices that say what a test tells them to. One thread.
#pragma once

#include <utility>
#include <vector>

#include "fleet/v1/to_server.pb.h"
#include "server/fleet_state.h"

namespace fleet::server {

class TestFleet {
 public:
  explicit TestFleet(const Clock& clock, SavedFleet saved = {})
      : clock_(clock), state({}, std::move(saved), clock.Read(), changes) {
    changes.rows.number = 1;
    state.LinkUp(clock_.Read(), changes);
    Turn();
  }

  void Turn() {
    state.MessageArrived(clock_.Read());
    state.Tick(clock_.Read(), changes);
  }
  void Apply(const Event& event) {
    state.MessageArrived(clock_.Read());
    state.Apply(event, clock_.Read(), changes);
  }
  void Beat(absl::string_view device, uint32_t seq, int64_t ahead_ms = 0) {
    BeatSent(device, seq, static_cast<uint64_t>(clock_.Read().unix_ms() + ahead_ms));
  }
  void BeatSent(absl::string_view device, uint32_t seq, uint64_t sent_unix_ms) {
    v1::Heartbeat heartbeat;
    heartbeat.set_epoch(1);
    heartbeat.set_seq(seq);
    heartbeat.set_sent_unix_ms(sent_unix_ms);
    Apply(HeartbeatEvent{device, &heartbeat});
  }
  void Report(absl::string_view device, uint32_t seq, const std::vector<uint32_t>& entities) {
    v1::StateReport report;
    report.set_epoch(1);
    report.set_seq(seq);
    for (uint32_t id : entities) {
      v1::EntityState& entity = *report.add_entities();
      entity.set_entity_id(id);
      entity.set_x_mm(static_cast<int32_t>(seq));
      entity.set_y_mm(-200);
      entity.set_angle_mdeg(90'000);
      entity.set_vx_mm_s(5);
      entity.set_vy_mm_s(-6);
    }
    const std::string bytes = report.SerializeAsString();
    Apply(StateEvent{device, &report, bytes});
  }
  void Say(absl::string_view device, v1::Presence presence) {
    v1::Status status;
    status.set_presence(presence);
    status.set_epoch(1);
    status.set_started_unix_ms(1);
    status.set_version("1.2.3");
    Apply(StatusEvent{device, &status});
  }
  void Ack(absl::string_view device, CommandId id, v1::CommandState command_state) {
    v1::CommandReport report;
    report.set_epoch(1);
    v1::CommandUpdate& update = *report.add_updates();
    update.set_command_id(Number(id));
    update.set_state(command_state);
    Apply(CommandReportEvent{device, &report});
  }
  // The next batch, as the loop hands it to the writer.
  RowBatch TakeRows() { return std::exchange(changes.rows, {.number = changes.rows.number + 1}); }

  const Device& device(absl::string_view id) const { return *state.registry().Find(id); }
  LivenessStatus status(absl::string_view id) const { return state.liveness().status(device(id).index); }

 private:
  const Clock& clock_;

 public:
  Changes changes;
  FleetState state;
};

}  // namespace fleet::server
