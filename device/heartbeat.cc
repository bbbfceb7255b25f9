#include "device/heartbeat.h"

#include <algorithm>

#include "common/topics.h"

namespace fleet::device {

Heartbeat::Heartbeat(const DeviceId& device, uint32_t epoch, Schedule schedule)
    : topic_(TopicOf(device, DeviceTopic::kHeartbeat)), schedule_(schedule) {
  message_.set_epoch(epoch);
}

void Heartbeat::Resume(Now now, Effects& effects) {
  schedule_.Take(now.mono);
  Send(now, effects);
}

void Heartbeat::Send(Now now, Effects& effects) {
  message_.set_seq(message_.seq() + 1);
  message_.set_sent_unix_ms(std::max<int64_t>(now.unix_ms(), 0));
  Publication& out = effects.publish.emplace_back();
  out.topic = topic_;
  message_.SerializeToString(&out.payload);
}

}  // namespace fleet::device
