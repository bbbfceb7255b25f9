#include "device/can/can_taps.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "common/topics.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {
namespace {

// A tap is an operator's doing and stays on record: who, when, which filter, how many frames.
v1::Event MakeEvent(v1::EventKind kind, absl::string_view bus, std::string detail) {
  v1::Event event;
  event.set_kind(kind);
  event.set_name(std::string(bus));
  event.set_detail(std::move(detail));
  return event;
}

}  // namespace

std::string FiltersText(const v1::CanTap& tap) {
  if (tap.filters().empty()) return "all";
  std::string text;
  for (const v1::CanFilter& filter : tap.filters())
    absl::StrAppend(&text, text.empty() ? "" : " ", CanFilterText(filter));
  return text;
}

CanTaps::CanTaps(const DeviceId& device, absl::string_view bus, uint32_t epoch)
    : bus_(bus), topic_(CanRxTopic(device, bus)), epoch_(epoch) {}

bool CanTaps::Start(CommandId command, const v1::CanTap& tap, uint64_t dropped, MonoTime now, CanEffects& effects) {
  if (taps_.size() >= kMaxTaps) return false;
  const absl::Duration duration = absl::Milliseconds(tap.duration_ms());
  taps_.push_back({.command = command, .asked = tap, .until = now + duration, .dropped_before = dropped});
  effects.events.push_back(MakeEvent(v1::EVENT_KIND_CAN_TAP_ON, bus_,
                                     absl::StrCat("command ", Number(command), " by ", tap.by(), " for ",
                                                  absl::FormatDuration(duration), " filter ", FiltersText(tap))));
  return true;
}

std::optional<TapEnd> CanTaps::Stop(CommandId command, absl::string_view why, CanEffects& effects) {
  const auto tap = std::ranges::find(taps_, command, &Tap::command);
  if (tap == taps_.end()) return std::nullopt;
  Send(*tap, effects);
  const TapEnd end{.command = command, .frames = tap->frames, .in_time = false};
  effects.events.push_back(MakeEvent(v1::EVENT_KIND_CAN_TAP_OFF, bus_,
                                     absl::StrCat("command ", Number(command), " by ", tap->asked.by(), " ", why,
                                                  " frames ", end.frames, " dropped ", tap->dropped + tap->unsent)));
  taps_.erase(tap);
  return end;
}

bool CanTaps::Wants(const Tap& tap, const CanFrame& frame) {
  if (frame.is(kCanSent) && !tap.asked.sent_too()) return false;
  return PassesAny(tap.asked.filters(), frame);
}

void CanTaps::Offer(const std::vector<CanFrame>& frames, uint64_t dropped, MonoTime now, CanEffects& effects) {
  for (Tap& tap : taps_) {
    tap.dropped = dropped - tap.dropped_before;
    for (const CanFrame& frame : frames) {
      if (!Wants(tap, frame)) continue;
      if (tap.waiting.size() == 0) tap.oldest = now;
      tap.waiting.Add(frame);
      if (tap.waiting.size() == kMaxFrames) Send(tap, effects);
    }
  }
}

void CanTaps::Tick(MonoTime now, CanEffects& effects, std::vector<TapEnd>& ended) {
  std::vector<CommandId> over;
  for (Tap& tap : taps_) {
    if (tap.waiting.size() > 0 && now - tap.oldest >= kMaxAge) Send(tap, effects);
    if (now >= tap.until) over.push_back(tap.command);
  }
  for (const CommandId command : over) {
    ended.push_back(*Stop(command, "time over", effects));
    ended.back().in_time = true;
  }
}

MonoTime CanTaps::NextDue() const {
  MonoTime due = MonoTime::Max();
  for (const Tap& tap : taps_) {
    due = std::min(due, tap.until);
    if (tap.waiting.size() > 0) due = std::min(due, tap.oldest + kMaxAge);
  }
  return due;
}

std::vector<TapEnd> CanTaps::StopAll(absl::string_view why, CanEffects& effects) {
  std::vector<TapEnd> ended;
  while (!taps_.empty()) ended.push_back(*Stop(taps_.front().command, why, effects));
  return ended;
}

void CanTaps::Send(Tap& tap, CanEffects& effects) const {
  if (tap.waiting.size() == 0) return;
  if (!link_up_) {
    tap.unsent += static_cast<uint64_t>(tap.waiting.Take().id_size());
    return;
  }
  tap.frames += static_cast<uint64_t>(tap.waiting.size());
  v1::CanBatch batch;
  batch.set_epoch(epoch_);
  batch.set_tap(Number(tap.command));
  batch.set_seq(++tap.seq);
  *batch.mutable_frames() = tap.waiting.Take();
  batch.set_dropped(tap.dropped + tap.unsent);
  effects.publish.push_back({.topic = topic_, .payload = batch.SerializeAsString(), .drop_above = kMaxUnderWay});
}

}  // namespace fleet::device
