// Rows for tests of the store.
#pragma once

#include <string>
#include <vector>

#include "fleet/v1/to_server.pb.h"
#include "server/rows.h"

namespace fleet::server {

inline DeviceRow SampleDevice(int64_t row, absl::string_view id) {
  DeviceRow device{.device_row = row, .id = *DeviceId::Parse(id)};
  device.epoch = 1;
  device.version = "1.2.3";
  return device;
}

inline std::string SampleReport(uint32_t seq, const std::vector<uint32_t>& entities) {
  v1::StateReport report;
  report.set_epoch(1);
  report.set_seq(seq);
  report.set_sent_unix_ms(seq);
  for (uint32_t id : entities) {
    v1::EntityState& entity = *report.add_entities();
    entity.set_entity_id(id);
    entity.set_x_mm(static_cast<int32_t>(seq));
    entity.set_y_mm(-static_cast<int32_t>(id));
  }
  return report.SerializeAsString();
}

// `count` reports, 100 ms apart; x_mm of each is its seq, from `first_seq` on.
inline HistoryBlock::Row SampleBlock(int64_t first_unix_ms, uint32_t first_seq, uint32_t count,
                                     const std::vector<uint32_t>& entities) {
  HistoryBlock block;
  for (uint32_t i = 0; i < count; ++i) block.Append(first_unix_ms + 100 * i, SampleReport(first_seq + i, entities));
  return block.Take();
}

inline CommandRow SampleCommand(uint64_t id, int64_t device_row, int64_t issued_unix_ms = 1000) {
  v1::Segment segment;
  segment.set_entity_id(7);
  segment.set_end_x_mm(-1000);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  return {
      .id = CommandId{id}, .device_row = device_row, .body = segment, .issued_unix_ms = issued_unix_ms, .ttl_ms = 5000};
}

inline CommandStepRow SampleStep(uint64_t id, uint32_t number, v1::CommandState state) {
  return {.id = CommandId{id},
          .number = number,
          .state = state,
          .reason = "reason",
          .detail = "detail",
          .at_unix_ms = 2000 + number,
          .since_issue_ms = number};
}

}  // namespace fleet::server
