#include "device/segment_executor.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

void AddStep(CommandId command, v1::CommandState state, SegmentExecutor::Updates& updates) {
  v1::CommandUpdate& update = updates.emplace_back();
  update.set_command_id(Number(command));
  update.set_state(state);
}

// A string field that is not UTF-8 would make the whole report unreadable, and this text comes from outside.
std::string CleanDetail(absl::string_view text) {
  std::string clean(text.substr(0, SegmentExecutor::kMaxDetailBytes));
  for (char& c : clean) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return clean;
}

}  // namespace

SegmentExecutor::SegmentExecutor(std::vector<DrivenEntity> entities)
    : entities_(std::move(entities)), running_(entities_.size()) {}

void SegmentExecutor::Start(const SegmentOrder& order, MonoTime now, Updates& updates, Effects& effects) {
  const std::optional<size_t> index = IndexOf(order.entity);
  FLEET_CHECK(index.has_value()) << "entity " << Number(order.entity);
  const absl::StatusOr<MonoTime> end = entities_[*index].driver->Start(order, now, effects);
  if (!end.ok()) {
    AddStep(order.command, v1::COMMAND_STATE_REJECTED, updates);
    updates.back().set_reason(CleanDetail(end.status().message()));
    return;
  }
  if (running_[*index]) {
    ++superseded_;
    AddStep(running_[*index]->order.command, v1::COMMAND_STATE_SUPERSEDED, updates);
  }
  AddStep(order.command, v1::COMMAND_STATE_RECEIVED, updates);
  AddStep(order.command, v1::COMMAND_STATE_ACCEPTED, updates);
  AddStep(order.command, v1::COMMAND_STATE_RUNNING, updates);
  const bool is_hold = order.segment.type() == v1::SEGMENT_TYPE_HOLD;
  running_[*index] = {.order = order, .ends_at = is_hold ? order.expires_at : *end};
  FindNextDue();
}

void SegmentExecutor::End(const SegmentEnded& end, MonoTime now, Updates& updates, Effects& effects) {
  for (size_t i = 0; i < running_.size(); ++i) {
    if (!running_[i] || running_[i]->order.command != end.command) continue;
    // An external controller knows that it has ended; a driver of our own must be told to stand still.
    if (!entities_[i].driver->is_external()) Stop(i, now, effects);
    Finish(i, end, end.done ? "" : "driver", updates);
  }
  FindNextDue();
}

void SegmentExecutor::Tick(MonoTime now, Updates& updates, Effects& effects) {
  if (now < next_due_) return;
  if (now >= controller_lost_at_) FailExternal(now, updates, effects);
  for (size_t i = 0; i < running_.size(); ++i) {
    if (!running_[i] || now < running_[i]->ends_at) continue;
    Stop(i, now, effects);
    Finish(i, {.command = running_[i]->order.command}, "", updates);
  }
  FindNextDue();
}

void SegmentExecutor::Feed(const PoseFed& fed, MonoTime now) {
  if (const std::optional<size_t> index = IndexOf(fed.entity)) entities_[*index].driver->Feed(fed.pose, now);
}

void SegmentExecutor::SetListening(bool listening, MonoTime now) {
  for (const DrivenEntity& entity : entities_) entity.driver->SetListening(listening);
  controller_lost_at_ = listening ? MonoTime::Max() : now + kControllerGrace;
  FindNextDue();
}

std::optional<size_t> SegmentExecutor::IndexOf(EntityId id) const {
  const auto found = std::ranges::find(entities_, id, &DrivenEntity::id);
  if (found == entities_.end()) return std::nullopt;
  return static_cast<size_t>(found - entities_.begin());
}

void SegmentExecutor::Finish(size_t index, const SegmentEnded& end, absl::string_view reason, Updates& updates) {
  ++(end.done ? done_ : failed_);
  AddStep(end.command, end.done ? v1::COMMAND_STATE_DONE : v1::COMMAND_STATE_FAILED, updates);
  updates.back().set_reason(reason.data(), reason.size());
  updates.back().set_detail(CleanDetail(end.detail));
  running_[index].reset();
}

void SegmentExecutor::Stop(size_t index, MonoTime now, Effects& effects) {
  entities_[index].driver->Stop(running_[index]->order, now, effects);
}

void SegmentExecutor::FailExternal(MonoTime now, Updates& updates, Effects& effects) {
  controller_lost_at_ = MonoTime::Max();
  for (size_t i = 0; i < running_.size(); ++i) {
    if (!running_[i] || !entities_[i].driver->is_external()) continue;
    Stop(i, now, effects);
    Finish(i, {.command = running_[i]->order.command, .done = false, .detail = "no controller listens any more"},
           "controller_lost", updates);
  }
}

void SegmentExecutor::FindNextDue() {
  next_due_ = controller_lost_at_;
  for (const std::optional<Running>& running : running_) {
    if (running) next_due_ = std::min(next_due_, running->ends_at);
  }
}

}  // namespace fleet::device
