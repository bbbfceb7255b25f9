#include "device/entity_reporter.h"

#include <algorithm>
#include <optional>

#include "common/topics.h"

namespace fleet::device {

EntityReporter::EntityReporter(const DeviceId& device, uint32_t epoch, Schedule schedule)
    : schedule_(schedule), topic_(TopicOf(device, DeviceTopic::kState)) {
  message_.set_epoch(epoch);
}

void EntityReporter::Report(const std::vector<DrivenEntity>& entities, Now now, Effects& effects) {
  message_.clear_entities();
  for (const DrivenEntity& entity : entities) {
    const std::optional<Pose> pose = entity.driver->PoseAt(now.mono);
    if (!pose) continue;
    v1::EntityState& state = *message_.add_entities();
    state.set_entity_id(Number(entity.id));
    state.set_x_mm(pose->x_mm);
    state.set_y_mm(pose->y_mm);
    state.set_angle_mdeg(pose->angle_mdeg);
    state.set_vx_mm_s(pose->vx_mm_s);
    state.set_vy_mm_s(pose->vy_mm_s);
  }
  if (message_.entities().empty()) return;
  message_.set_seq(message_.seq() + 1);
  message_.set_sent_unix_ms(std::max<int64_t>(now.unix_ms(), 0));
  Publication& out = effects.publish.emplace_back();
  out.topic = topic_;
  message_.SerializeToString(&out.payload);
}

}  // namespace fleet::device
