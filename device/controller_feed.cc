#include "device/controller_feed.h"

#include <algorithm>
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
    std::vector<CommandId> expired;
    const bool goes_on = Take(timeout, out, expired);
    for (const CommandId command : expired) feed_.on_expired_(command);
    return goes_on;
  }

  // With the feed's lock held.
  void Add(const ControllerEvent& event) {
    if (waiting_.size() >= kMaxWaiting) {
      cut_off_ = true;
    } else {
      waiting_.push_back(event);
    }
  }

 private:
  bool Take(absl::Duration timeout, std::vector<Item>& out, std::vector<CommandId>& expired) {
    MutexLock lock(feed_.mu_);
    if (waiting_.empty() && !cut_off_) feed_.changed_.WaitFor(feed_.mu_, timeout);
    for (const ControllerEvent& event : waiting_) {
      if (std::optional<Item> item = feed_.Give(event, expired)) out.push_back(*std::move(item));
    }
    waiting_.clear();
    return !cut_off_;
  }

  ControllerFeed& feed_;
  std::vector<ControllerEvent> waiting_;
  bool cut_off_ = false;
};

void ControllerFeed::Publish(const ControllerEvent& event) {
  MutexLock lock(mu_);
  if (const auto* started = std::get_if<SegmentStarted>(&event)) {
    running_.insert_or_assign(started->order.entity, Running{.order = started->order});
  } else {
    running_.erase(std::get<SegmentStopped>(event).entity);
  }
  for (Reader* reader : readers_) reader->Add(event);
  changed_.NotifyAll();
}

std::optional<EventSource::Item> ControllerFeed::Give(const ControllerEvent& event, std::vector<CommandId>& expired) {
  if (const auto* stopped = std::get_if<SegmentStopped>(&event)) {
    v1::SegmentEvent message;
    message.set_command_id(absl::StrCat(Number(stopped->command)));
    message.set_entity_id(Number(stopped->entity));
    return EventSource::Item{.event = "stop", .data = JsonLine(message)};
  }
  const SegmentOrder& order = std::get<SegmentStarted>(event).order;
  const auto found = running_.find(order.entity);
  const bool runs = found != running_.end() && found->second.order.command == order.command;
  const absl::Duration expires_in = order.expires_at - clock_.Read().mono;
  if (expires_in > absl::ZeroDuration()) {
    if (runs) found->second.is_given = true;
    return ItemOf(order, expires_in);
  }
  if (runs && found->second.is_given) return ItemOf(order, absl::ZeroDuration());
  if (runs) {
    expired.push_back(order.command);
    running_.erase(found);
  }
  return std::nullopt;
}

std::unique_ptr<EventSource> ControllerFeed::Subscribe() {
  auto reader = std::make_unique<Reader>(*this);
  bool is_first = false;
  {
    MutexLock lock(mu_);
    for (const auto& [entity, running] : running_) reader->Add(SegmentStarted{running.order});
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
  return std::erase_if(running_, [&](const auto& entry) { return entry.second.order.command == command; }) > 0;
}

EventSource::Item ControllerFeed::ItemOf(const SegmentOrder& order, absl::Duration expires_in) {
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
  message.set_expires_in_ms(absl::ToDoubleMilliseconds(expires_in));
  return {.event = "segment", .data = JsonLine(message)};
}

}  // namespace fleet::device
