#include "server/registry.h"

#include <algorithm>

#include "server/ingest.h"

namespace fleet::server {

Entity* Device::FindOrAdd(EntityId entity_id, size_t hint) {
  // Reports list entities in the same order each time, so the position is nearly always right.
  if (hint < entities.size() && entities[hint].latest.id == entity_id) return &entities[hint];
  for (Entity& entity : entities) {
    if (entity.latest.id == entity_id) return &entity;
  }
  if (entities.size() >= kMaxEntitiesPerDevice) return nullptr;
  entities.emplace_back().latest.id = entity_id;
  return &entities.back();
}

int Device::Update(const v1::StateReport& report, Now now) {
  int left_out = 0;
  const int64_t unix_ms = now.unix_ms();
  for (int i = 0; i < report.entities_size(); ++i) {
    const v1::EntityState& state = report.entities(i);
    Entity* entity = FindOrAdd(EntityId{state.entity_id()}, static_cast<size_t>(i));
    if (entity == nullptr) {
      ++left_out;
      continue;
    }
    entity->received = now.mono;
    entity->latest = {.id = EntityId{state.entity_id()},
                      .x_mm = state.x_mm(),
                      .y_mm = state.y_mm(),
                      .angle_mdeg = state.angle_mdeg(),
                      .vx_mm_s = state.vx_mm_s(),
                      .vy_mm_s = state.vy_mm_s(),
                      .received_unix_ms = unix_ms};
  }
  return left_out;
}

Device* Registry::Find(absl::string_view id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &devices_[found->second];
}

Device* Registry::Restore(const DeviceId& id, int64_t row) {
  if (devices_.size() >= max_devices_) return nullptr;
  Device& device = devices_.emplace_back(id, static_cast<DeviceIndex>(devices_.size()), row);
  by_id_.emplace(device.id.view(), device.index);
  last_row_ = std::max(last_row_, row);
  return &device;
}

size_t Registry::entity_count() const {
  size_t count = 0;
  for (const Device& device : devices_) count += device.entities.size();
  return count;
}

}  // namespace fleet::server
