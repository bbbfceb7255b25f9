#include "server/sender.h"

#include <utility>

namespace fleet::server {

void Sender::SendStops(MqttLink& link, FleetState& state, Changes& changes, Now now) {
  PublishLive(link, changes.first, now);
  for (CommandId id : std::exchange(changes.stops, {})) {
    Publication frame = FrameOf(state, id);
    frame.qos = 0;
    const bool early = link.Publish(frame).ok();
    frame.qos = 1;
    const bool sure = link.Publish(frame).ok();
    state.Sent(id, early || sure, now, changes);
  }
}

void Sender::SendRest(MqttLink& link, FleetState& state, Changes& changes, Now now) {
  PublishLive(link, changes.publish, now);
  bool refused = false;
  for (CommandId id : std::exchange(changes.commands_due, {})) {
    refused = refused || !link.Publish(FrameOf(state, id)).ok();
    state.Sent(id, !refused, now, changes);
  }
}

Publication Sender::FrameOf(const FleetState& state, CommandId id) const {
  const Command& command = *state.commands().Find(id);
  return dispatcher_.Frame(state.registry().at(command.device).id, command.row);
}

void Sender::PublishLive(MqttLink& link, std::vector<Publication>& publications, Now now) {
  for (const Publication& publication : std::exchange(publications, {})) {
    const absl::Status status = link.Publish(publication);
    if (status.ok()) continue;
    ++refused_;
    if (const auto skipped = log_.Allow(now.mono)) {
      LogWarn("publication dropped topic={} error={} skipped={}", publication.topic, status.message(), *skipped);
    }
  }
}

}  // namespace fleet::server
