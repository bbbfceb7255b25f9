#include "device/controller_feed.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/segment_names.h"
#include "fleet/v1/api.pb.h"

namespace fleet::device {
namespace {

std::string JsonLine(const google::protobuf::Message& message) {
  std::string json = ToJson(message);
  if (!json.empty() && json.back() == '\n') json.pop_back();
  return json;
}

}  // namespace

// One open stream. Its members are guarded by the feed's lock.
class ControllerFeed::Reader : public EventSource {
 public:
  explicit Reader(ControllerFeed& feed) : feed_(feed) {}
  ~Reader() override { feed_.Leave(*this); }

  bool Next(absl::Duration timeout, std::vector<Item>& out) override {
    MutexLock lock(feed_.mu_);
    if (waiting_.empty() && !cut_off_) feed_.changed_.WaitFor(feed_.mu_, timeout);
    std::ranges::move(waiting_, std::back_inserter(out));
    waiting_.clear();
    return !cut_off_;
  }

  // With the feed's lock held.
  void Add(Item item) {
    if (waiting_.size() >= kMaxWaiting) {
      cut_off_ = true;
    } else {
      waiting_.push_back(std::move(item));
    }
  }

 private:
  ControllerFeed& feed_;
  std::vector<Item> waiting_;
  bool cut_off_ = false;
};

void ControllerFeed::Publish(const ControllerEvent& event) {
  MutexLock lock(mu_);
  EventSource::Item item;
  if (const auto* started = std::get_if<SegmentStarted>(&event)) {
    running_.insert_or_assign(started->order.entity, started->order);
    item = ItemOf(started->order);
  } else {
    const auto& stopped = std::get<SegmentStopped>(event);
    running_.erase(stopped.entity);
    v1::SegmentEvent message;
    message.set_command_id(absl::StrCat(Number(stopped.command)));
    message.set_entity_id(Number(stopped.entity));
    item = {.event = "stop", .data = JsonLine(message)};
  }
  for (Reader* reader : readers_) reader->Add(item);
  changed_.NotifyAll();
}

std::unique_ptr<EventSource> ControllerFeed::Subscribe() {
  auto reader = std::make_unique<Reader>(*this);
  bool is_first = false;
  {
    MutexLock lock(mu_);
    for (const auto& [entity, order] : running_) reader->Add(ItemOf(order));
    readers_.push_back(reader.get());
    is_first = readers_.size() == 1;
  }
  if (is_first) on_change_();
  return reader;
}

void ControllerFeed::Leave(Reader& reader) {
  {
    MutexLock lock(mu_);
    std::erase(readers_, &reader);
    if (!readers_.empty()) return;
  }
  on_change_();
}

bool ControllerFeed::listening() const {
  MutexLock lock(mu_);
  return !readers_.empty();
}

bool ControllerFeed::Finish(CommandId command) {
  MutexLock lock(mu_);
  return std::erase_if(running_, [&](const auto& entry) { return entry.second.command == command; }) > 0;
}

EventSource::Item ControllerFeed::ItemOf(const SegmentOrder& order) const {
  v1::SegmentEvent message;
  message.set_command_id(absl::StrCat(Number(order.command)));
  message.set_entity_id(Number(order.entity));
  message.set_from_x_mm(order.segment.start_x_mm());
  message.set_from_y_mm(order.segment.start_y_mm());
  message.set_to_x_mm(order.segment.end_x_mm());
  message.set_to_y_mm(order.segment.end_y_mm());
  message.set_v0_mm_s(order.segment.start_speed_mm_s());
  message.set_v1_mm_s(order.segment.end_speed_mm_s());
  const absl::string_view type = Name(order.segment.type());
  message.set_type(type.data(), type.size());
  message.set_expires_in_ms(std::max(0.0, absl::ToDoubleMilliseconds(order.expires_at - clock_.Read().mono)));
  return {.event = "segment", .data = JsonLine(message)};
}

}  // namespace fleet::device
