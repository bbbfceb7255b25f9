#include "tests/sim/recorder.h"

#include <string>
#include <variant>

#include "common/topics.h"

namespace fleet {

void Recorder::ArrivedAtServer(const Arrived& message, MonoTime now) {
  ++messages_;
  probes_arrived_ += message.topic == kServerProbeTopic;
  HashMessage(message.topic, message.payload, now);
}

void Recorder::Published(const Publication& publication, MonoTime now) {
  beats_published_ += publication.topic == kServerBeatTopic;
  probes_published_ += publication.topic == kServerProbeTopic;
  HashMessage(publication.topic, publication.payload, now);
}

void Recorder::HashMessage(absl::string_view topic, absl::string_view payload, MonoTime now) {
  hash_.Add(static_cast<uint64_t>(now.nanos()));
  hash_.Add(topic);
  hash_.Add(payload);
}

void Recorder::Rows(const server::RowBatch& rows) {
  for (const server::DeviceRow& row : rows.devices) {
    for (uint64_t word :
         {static_cast<uint64_t>(row.device_row), uint64_t{row.epoch}, row.heartbeats.expected, row.heartbeats.stored,
          row.states.expected, row.states.stored, row.states.seen, static_cast<uint64_t>(row.last_seen_unix_ms)}) {
      hash_.Add(word);
    }
    hash_.Add(row.block.samples);
  }
  for (const server::LivenessRow& row : rows.liveness) {
    hash_.Add(static_cast<uint64_t>(row.device_row));
    hash_.Add(server::Name(row.status.state));
    hash_.Add(server::Name(row.status.reason));
    hash_.Add(static_cast<uint64_t>(row.at_unix_ms));
  }
  for (const server::CommandRow& row : rows.commands) {
    hash_.Add(Number(row.id));
    hash_.Add(std::visit([](const auto& body) { return body.SerializeAsString(); }, row.body));
  }
  for (const server::CommandStepRow& step : rows.steps) {
    hash_.Add(Number(step.id));
    hash_.Add(static_cast<uint64_t>(step.state));
    hash_.Add(step.reason);
    hash_.Add(static_cast<uint64_t>(step.since_issue_ms));
  }
  for (const server::EventRow& row : rows.events) hash_.Add(row.seq);
  for (const server::TelemetryRow& row : rows.telemetry) hash_.Add(row.batch);
  for (const server::StreamAccountRow& row : rows.stream_accounts) hash_.Add(row.ranges);
}

}  // namespace fleet
