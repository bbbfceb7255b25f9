#include "server/watchers.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "fleet/v1/api.pb.h"
#include "server/views.h"

namespace fleet::server {
namespace {

EventSource::Item ItemOf(const char* name, const v1::StreamEvent& event) {
  const std::string json = ToJson(event);
  return {.event = name, .data = std::string(absl::StripSuffix(json, "\n"))};
}

}  // namespace

struct Watchers::Queue {
  Mutex mu;
  CondVar cv;
  std::vector<EventSource::Item> items ABSL_GUARDED_BY(mu);
  uint64_t dropped ABSL_GUARDED_BY(mu) = 0;
  bool closed ABSL_GUARDED_BY(mu) = false;
};

class Watchers::Reader : public EventSource {
 public:
  explicit Reader(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}

  bool Next(absl::Duration timeout, std::vector<Item>& out) override {
    MutexLock lock(queue_->mu);
    if (queue_->items.empty() && !queue_->closed) queue_->cv.WaitFor(queue_->mu, timeout);
    std::move(queue_->items.begin(), queue_->items.end(), std::back_inserter(out));
    queue_->items.clear();
    if (const uint64_t dropped = std::exchange(queue_->dropped, 0)) {
      v1::StreamEvent gap;
      gap.mutable_gap()->set_dropped(static_cast<double>(dropped));
      out.push_back(ItemOf("gap", gap));
    }
    return !queue_->closed;
  }

 private:
  const std::shared_ptr<Queue> queue_;
};

std::unique_ptr<EventSource> Watchers::Watch() {
  auto queue = std::make_shared<Queue>();
  MutexLock lock(mu_);
  {
    MutexLock queue_lock(queue->mu);
    queue->closed = closed_;
  }
  queues_.push_back(queue);
  return std::make_unique<Reader>(std::move(queue));
}

void Watchers::Close() {
  MutexLock lock(mu_);
  closed_ = true;
  for (const auto& weak : queues_) {
    if (const std::shared_ptr<Queue> queue = weak.lock()) {
      MutexLock queue_lock(queue->mu);
      queue->closed = true;
      queue->cv.NotifyAll();
    }
  }
}

size_t Watchers::count() const {
  MutexLock lock(mu_);
  return std::count_if(queues_.begin(), queues_.end(), [](const auto& queue) { return !queue.expired(); });
}

void Watchers::Publish(const RowBatch& rows, const FleetState& state, Now now) {
  if (rows.empty() || count() == 0) return;
  absl::flat_hash_map<int64_t, const Device*> by_row;
  std::vector<EventSource::Item> events;
  for (const DeviceRow& row : rows.devices) {
    const Device& device = *state.registry().Find(row.id.view());
    by_row.emplace(row.device_row, &device);
    v1::StreamEvent event;
    *event.mutable_state() = ViewOf(device, state.liveness().status(device.index), now);
    events.push_back(ItemOf("state", event));
  }
  for (const LivenessRow& row : rows.liveness) {
    v1::StreamEvent event;
    *event.mutable_device() = ViewOf(row, *by_row.at(row.device_row));  // a change flushes its device
    events.push_back(ItemOf("device", event));
  }
  for (const CommandStepRow& step : rows.steps) {
    const Command* command = state.commands().Find(step.id);
    if (command == nullptr) continue;
    v1::StreamEvent event;
    *event.mutable_command() = ViewOf(command->row, {step}, state.registry().at(command->device).id.view());
    events.push_back(ItemOf("command", event));
  }
  Send(events);
}

void Watchers::Send(const std::vector<EventSource::Item>& events) {
  MutexLock lock(mu_);
  std::erase_if(queues_, [](const auto& queue) { return queue.expired(); });
  for (const auto& weak : queues_) {
    const std::shared_ptr<Queue> queue = weak.lock();
    if (queue == nullptr) continue;
    MutexLock queue_lock(queue->mu);
    const size_t room = kMaxQueued - std::min(kMaxQueued, queue->items.size());
    const size_t taken = std::min(room, events.size());
    queue->items.insert(queue->items.end(), events.begin(), events.begin() + static_cast<ptrdiff_t>(taken));
    queue->dropped += events.size() - taken;
    queue->cv.NotifyAll();
  }
}

}  // namespace fleet::server
