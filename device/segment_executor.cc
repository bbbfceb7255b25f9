#include "device/segment_executor.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

using Updates = SegmentExecutor::Updates;

bool IsAppended(const SegmentOrder& order) {
  return order.segment.mode() == v1::SEGMENT_MODE_APPEND;
}

bool CoversAll(const SegmentOrder&) {
  return true;
}

// A string field that is not UTF-8 would make the whole report unreadable, and this text comes from outside.
std::string Clean(absl::string_view text) {
  std::string clean(text.substr(0, SegmentExecutor::kMaxDetailBytes));
  for (char& c : clean) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return clean;
}

}  // namespace

SegmentExecutor::SegmentExecutor(std::vector<DrivenEntity> entities)
    : entities_(std::move(entities)), lines_(entities_.size()) {}

void SegmentExecutor::Add(const SegmentOrder& order, bool is_saved, MonoTime now, Updates& updates, Effects& effects) {
  const std::optional<size_t> index = IndexOf(order.entity);
  FLEET_CHECK(index.has_value()) << "entity " << Number(order.entity);
  Line& line = lines_[*index];
  if (IsAppended(order) && line.waiting.size() >= kMaxWaiting) {
    return Say(order.command, {v1::COMMAND_STATE_REJECTED, "queue_full"}, updates);
  }
  Say(order.command, {v1::COMMAND_STATE_RECEIVED}, updates);
  Say(order.command, {v1::COMMAND_STATE_ACCEPTED}, updates);
  if (!IsAppended(order)) {
    const auto is_replacing = [](const SegmentOrder& other) { return !IsAppended(other); };
    EndWaiting(line, is_replacing, {v1::COMMAND_STATE_SUPERSEDED}, updates);
  }
  line.waiting.push_back({order, is_saved});
  Advance(*index, now, updates, effects);
  FindNextDue();
}

void SegmentExecutor::Saved(CommandId command, bool ok, MonoTime now, Updates& updates, Effects& effects) {
  const auto is_it = [command](const SegmentOrder& order) { return order.command == command; };
  for (size_t i = 0; i < lines_.size(); ++i) {
    const auto found = std::ranges::find_if(lines_[i].waiting, is_it, &Waiting::order);
    if (found == lines_[i].waiting.end() || found->is_saved) continue;
    if (ok) {
      found->is_saved = true;
    } else {
      EndWaiting(lines_[i], is_it, {v1::COMMAND_STATE_REJECTED, "spool_failed"}, updates);
    }
    Advance(i, now, updates, effects);
    return FindNextDue();
  }
}

void SegmentExecutor::End(const SegmentEnded& end, MonoTime now, Updates& updates, Effects& effects) {
  Ending ending{v1::COMMAND_STATE_DONE, "", end.detail};
  if (!end.done) ending = {v1::COMMAND_STATE_FAILED, "driver", end.detail};
  if (end.expired) ending = {v1::COMMAND_STATE_EXPIRED, "expired", end.detail};
  for (size_t i = 0; i < lines_.size(); ++i) {
    std::optional<Running>& running = lines_[i].running;
    if (!running || running->order.command != end.command) continue;
    if (entities_[i].driver->is_external() && !end.expired) {
      Say(end.command, ending, updates);  // an external controller knows that it has ended
      running.reset();
    } else {
      EndRunning(i, ending, now, updates, effects);
    }
    Advance(i, now, updates, effects);
  }
  FindNextDue();
}

size_t SegmentExecutor::Cancel(const Covers& covers, absl::string_view reason, MonoTime now, Updates& updates,
                               Effects& effects) {
  const Ending ending{v1::COMMAND_STATE_CANCELLED, reason};
  size_t ended = 0;
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (lines_[i].running && covers(lines_[i].running->order)) {
      EndRunning(i, ending, now, updates, effects);
      ++ended;
    }
    ended += EndWaiting(lines_[i], covers, ending, updates);
    Advance(i, now, updates, effects);
  }
  FindNextDue();
  return ended;
}

void SegmentExecutor::EnterFailSafe(const FailSafeOptions& options, MonoTime now, Updates& updates, Effects& effects) {
  for (size_t i = 0; i < lines_.size(); ++i) {
    const FailSafePolicy policy = options.PolicyOf(entities_[i].id);
    if (policy == FailSafePolicy::kContinue) continue;
    if (lines_[i].running && policy == FailSafePolicy::kStop) {
      EndRunning(i, {v1::COMMAND_STATE_FAILED, "fail_safe"}, now, updates, effects);
    }
    EndWaiting(lines_[i], CoversAll, {v1::COMMAND_STATE_CANCELLED, "fail_safe"}, updates);
  }
  FindNextDue();
}

void SegmentExecutor::Tick(MonoTime now, Updates& updates, Effects& effects) {
  if (now < next_due_) return;
  if (now >= controller_lost_at_) FailExternal(now, updates, effects);
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (lines_[i].running && now >= lines_[i].running->ends_at) {
      EndRunning(i, {v1::COMMAND_STATE_DONE}, now, updates, effects);
    }
    Advance(i, now, updates, effects);
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

void SegmentExecutor::Say(CommandId command, const Ending& ending, Updates& updates) {
  switch (ending.state) {
    case v1::COMMAND_STATE_DONE:
      ++done_;
      break;
    case v1::COMMAND_STATE_FAILED:
      ++failed_;
      break;
    case v1::COMMAND_STATE_SUPERSEDED:
      ++superseded_;
      break;
    case v1::COMMAND_STATE_CANCELLED:
      ++cancelled_;
      break;
    case v1::COMMAND_STATE_EXPIRED:
      ++expired_;
      break;
    default:
      break;
  }
  v1::CommandUpdate& update = updates.emplace_back();
  update.set_command_id(Number(command));
  update.set_state(ending.state);
  update.set_reason(Clean(ending.reason));
  update.set_detail(Clean(ending.detail));
}

size_t SegmentExecutor::EndWaiting(Line& line, const Covers& covers, const Ending& ending, Updates& updates) {
  return std::erase_if(line.waiting, [&](const Waiting& waiting) {
    const bool ends = covers(waiting.order);
    if (ends) Say(waiting.order.command, ending, updates);
    return ends;
  });
}

void SegmentExecutor::EndRunning(size_t index, const Ending& ending, MonoTime now, Updates& updates, Effects& effects) {
  std::optional<Running>& running = lines_[index].running;
  entities_[index].driver->Stop(running->order, now, effects);
  Say(running->order.command, ending, updates);
  running.reset();
}

void SegmentExecutor::FailExternal(MonoTime now, Updates& updates, Effects& effects) {
  controller_lost_at_ = MonoTime::Max();
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (!lines_[i].running || !entities_[i].driver->is_external()) continue;
    const Ending ending{v1::COMMAND_STATE_FAILED, "controller_lost", "no controller listens any more"};
    EndRunning(i, ending, now, updates, effects);
  }
}

void SegmentExecutor::Advance(size_t index, MonoTime now, Updates& updates, Effects& effects) {
  Line& line = lines_[index];
  const auto is_over = [now](const SegmentOrder& order) { return now >= order.expires_at; };
  EndWaiting(line, is_over, {v1::COMMAND_STATE_EXPIRED, "expired"}, updates);
  while (const std::optional<size_t> place = NextOf(line)) Start(index, *place, now, updates, effects);
}

std::optional<size_t> SegmentExecutor::NextOf(const Line& line) {
  for (size_t i = line.waiting.size(); i-- > 0;) {
    if (line.waiting[i].is_saved && !IsAppended(line.waiting[i].order)) return i;
  }
  const bool is_free = !line.running && !line.waiting.empty() && line.waiting.front().is_saved;
  return is_free ? std::optional<size_t>(0) : std::nullopt;
}

void SegmentExecutor::Start(size_t index, size_t place, MonoTime now, Updates& updates, Effects& effects) {
  Line& line = lines_[index];
  const auto next = line.waiting.begin() + static_cast<std::ptrdiff_t>(place);
  const SegmentOrder order = std::move(next->order);
  const absl::StatusOr<MonoTime> end = entities_[index].driver->Start(order, now, effects);
  if (!end.ok()) {
    line.waiting.erase(next);
    const std::string word(end.status().message());
    return Say(order.command, {v1::COMMAND_STATE_REJECTED, word}, updates);
  }
  if (line.running) Say(line.running->order.command, {v1::COMMAND_STATE_SUPERSEDED}, updates);
  for (auto before = line.waiting.begin(); before != next; ++before) {
    Say(before->order.command, {v1::COMMAND_STATE_SUPERSEDED}, updates);
  }
  line.waiting.erase(line.waiting.begin(), next + 1);
  const bool is_hold = order.segment.type() == v1::SEGMENT_TYPE_HOLD;
  line.running = {.order = order, .ends_at = is_hold ? order.expires_at : *end};
  Say(order.command, {v1::COMMAND_STATE_RUNNING}, updates);
}

void SegmentExecutor::FindNextDue() {
  next_due_ = controller_lost_at_;
  for (const Line& line : lines_) {
    if (line.running) next_due_ = std::min(next_due_, line.running->ends_at);
    for (const Waiting& waiting : line.waiting) next_due_ = std::min(next_due_, waiting.order.expires_at);
  }
}

}  // namespace fleet::device
