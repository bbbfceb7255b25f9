// What a fleet under load says, for benchmarks: the bytes of ordinary messages.
#pragma once

#include <cstdint>
#include <string>

#include "fleet/v1/to_server.pb.h"

namespace fleet {

inline constexpr uint64_t kSampleUnixMs = 1'700'000'000'000;

// `seq` moves the entities by a little, as 10 reports a second do.
inline std::string SampleState(int device, int entities, uint32_t seq) {
  v1::StateReport report;
  report.set_epoch(1);
  report.set_seq(seq);
  report.set_sent_unix_ms(kSampleUnixMs + uint64_t{seq} * 100);
  const auto step = static_cast<int32_t>(seq % 10'000);
  for (int i = 1; i <= entities; ++i) {
    v1::EntityState& entity = *report.add_entities();
    entity.set_entity_id(static_cast<uint32_t>(i));
    entity.set_x_mm(1000 * i + 50 * step);
    entity.set_y_mm(-20 * device + 10 * step);
    entity.set_angle_mdeg(45'000 + step);
    entity.set_vx_mm_s(500);
    entity.set_vy_mm_s(-100);
  }
  return report.SerializeAsString();
}

inline std::string SampleHeartbeat(uint32_t seq) {
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(1);
  heartbeat.set_seq(seq);
  heartbeat.set_sent_unix_ms(kSampleUnixMs + uint64_t{seq} * 500);
  return heartbeat.SerializeAsString();
}

}  // namespace fleet
