#include "server/registry.h"

#include <algorithm>

#include "server/ingest.h"

namespace fleet::server {

namespace {
constexpr absl::Duration kEntityStaleAfter = absl::Seconds(1);
}  // namespace

absl::Duration Entity::AgeAt(Now now) const {
  if (received != MonoTime()) return now.mono - received;
  return absl::Milliseconds(std::max<int64_t>(0, now.unix_ms() - latest.received_unix_ms));
}

LivenessState Device::StateOf(const Entity& entity, LivenessState device, Now now) const {
  if (device != LivenessState::kOnline) return device;
  const absl::Duration stale_after = std::max(kEntityStaleAfter, 3 * report_period_);
  const absl::Duration age = entity.AgeAt(now);
  if (age < stale_after) return LivenessState::kOnline;
  return age < 2 * stale_after ? LivenessState::kStale : LivenessState::kOffline;
}

// A pause, or what a pause made come all at once, says little about the period and moves it little.
void Device::MeasurePeriod(MonoTime now) {
  const absl::Duration gap = now - last_report_;
  if (last_report_ == MonoTime()) {
    report_period_ = absl::ZeroDuration();
  } else if (report_period_ == absl::ZeroDuration()) {
    report_period_ = gap;
  } else {
    report_period_ += (std::clamp(gap, report_period_ / 2, 2 * report_period_) - report_period_) / 8;
  }
  last_report_ = now;
}

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
  MeasurePeriod(now.mono);
  int left_out = 0;
  const int64_t unix_ms = now.unix_ms();
  for (int i = 0; i < report.entities_size(); ++i) {
    const v1::EntityState& said = report.entities(i);
    Entity* entity = FindOrAdd(EntityId{said.entity_id()}, static_cast<size_t>(i));
    if (entity == nullptr) {
      ++left_out;
      continue;
    }
    entity->received = now.mono;
    entity->latest = {.id = EntityId{said.entity_id()},
                      .x_mm = said.x_mm(),
                      .y_mm = said.y_mm(),
                      .angle_mdeg = said.angle_mdeg(),
                      .vx_mm_s = said.vx_mm_s(),
                      .vy_mm_s = said.vy_mm_s(),
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
