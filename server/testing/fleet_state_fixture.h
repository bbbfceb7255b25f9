// What the tests of FleetState share: a server on simulated time, and devices that say what a test tells them to.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/testing/fake_clock.h"
#include "fleet/v1/common.pb.h"
#include "fleet/v1/to_server.pb.h"
#include "server/fleet_state.h"

namespace fleet::server {

inline v1::Segment SomeSegment() {
  v1::Segment segment;
  segment.set_entity_id(1);
  segment.set_end_x_mm(1000);
  segment.set_start_speed_mm_s(500);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  return segment;
}

// Takes over the newest row of each device, as the store does.
inline SavedFleet Save(const RowBatch& rows) {
  SavedFleet saved;
  for (const DeviceRow& row : rows.devices) {
    if (row.device_row > static_cast<int64_t>(saved.devices.size())) {
      saved.devices.push_back(row);
      continue;
    }
    DeviceRow& known = saved.devices[row.device_row - 1];
    std::vector<EntityRow> entities = row.entities.empty() ? known.entities : row.entities;
    known = row;
    known.entities = std::move(entities);
  }
  return saved;
}

// A server whose link is up, and devices that say what the test tells them to.
class FleetStateTest : public testing::Test {
 protected:
  FleetStateTest() { Start({}, {}); }

  void Start(const FleetOptions& options, SavedFleet saved) {
    fleet_ = std::make_unique<FleetState>(options, std::move(saved), clock_, changes_);
  }
  void LinkUp() {
    fleet_->LinkUp(clock_, changes_);
    fleet_->MessageArrived(clock_);
    fleet_->Tick(clock_, changes_);
  }
  // A will of a device that was just heard, in a server that has been hearing for a while, and the time it takes.
  void Lose(absl::string_view device, uint32_t epoch) {
    Say(device, v1::PRESENCE_LOST, epoch);
    Run(absl::Milliseconds(200), /*beats=*/false);
  }
  void Apply(const Event& event) {
    fleet_->MessageArrived(clock_);
    fleet_->Apply(event, clock_, changes_);
  }
  void Beat(absl::string_view device, uint32_t epoch, uint32_t seq, int64_t clock_ahead_ms = 0) {
    v1::Heartbeat heartbeat;
    heartbeat.set_epoch(epoch);
    heartbeat.set_seq(seq);
    heartbeat.set_sent_unix_ms(static_cast<uint64_t>(clock_.Read().unix_ms() + clock_ahead_ms));
    Apply(HeartbeatEvent{device, &heartbeat});
  }
  void Report(absl::string_view device, uint32_t epoch, uint32_t seq, std::vector<uint32_t> entities = {1}) {
    v1::StateReport report;
    report.set_epoch(epoch);
    report.set_seq(seq);
    for (uint32_t id : entities) {
      v1::EntityState& entity = *report.add_entities();
      entity.set_entity_id(id);
      entity.set_x_mm(static_cast<int32_t>(seq));
    }
    const std::string bytes = report.SerializeAsString();
    Apply(StateEvent{device, &report, bytes});
  }
  void Say(absl::string_view device, v1::Presence presence, uint32_t epoch, uint64_t started_unix_ms = 1) {
    v1::Status status;
    status.set_presence(presence);
    status.set_epoch(epoch);
    status.set_started_unix_ms(started_unix_ms);
    status.set_version("1.2.3");
    Apply(StatusEvent{device, &status});
  }
  void Ack(absl::string_view device, uint32_t epoch, CommandId id, v1::CommandState state) {
    v1::CommandReport report;
    report.set_epoch(epoch);
    v1::CommandUpdate& update = *report.add_updates();
    update.set_command_id(Number(id));
    update.set_state(state);
    Apply(CommandReportEvent{device, &report});
  }
  CommandId SubmitAndSend(absl::string_view device) {
    const auto id = fleet_->Submit(device, SomeSegment(), {.ttl = absl::Seconds(5)}, clock_, changes_);
    EXPECT_TRUE(id.ok()) << id.status();
    fleet_->Committed(changes_.rows.number, changes_);
    fleet_->Tick(clock_, changes_);
    for (CommandId due : std::exchange(changes_.commands_due, {})) fleet_->Sent(due, true, clock_, changes_);
    return *id;
  }
  // A turn of the loop: what goes out now.
  std::vector<CommandId> Tick() {
    changes_.commands_due.clear();
    fleet_->Tick(clock_, changes_);
    return std::exchange(changes_.commands_due, {});
  }
  // One turn of the loop every 100 ms; the server's own probes come back, and with `beats` so do heartbeats of `a`.
  void Run(absl::Duration d, bool beats, bool probes = true) {
    for (absl::Duration done; done < d; done += absl::Milliseconds(100)) {
      clock_.Advance(absl::Milliseconds(100));
      if (probes) fleet_->MessageArrived(clock_);
      if (beats && ++turns_ % 5 == 0) Beat("a", 1, ++beats_);
      fleet_->Tick(clock_, changes_);
    }
  }

  const Device& device(absl::string_view id) const { return *fleet_->registry().Find(id); }
  LivenessStatus status(absl::string_view id) const { return fleet_->liveness().status(device(id).index); }
  v1::CommandState StateOf(CommandId id) const { return fleet_->commands().Find(id)->state(); }
  std::vector<LivenessState> LivenessHistory(absl::string_view id) const {
    std::vector<LivenessState> states;
    for (const LivenessRow& row : changes_.rows.liveness) {
      if (row.device_row == device(id).row) states.push_back(row.status.state);
    }
    return states;
  }

  FakeClock clock_;
  Changes changes_;  // everything since the test began, unless it clears it
  std::unique_ptr<FleetState> fleet_;
  int turns_ = 0;
  uint32_t beats_ = 0;
};

}  // namespace fleet::server
