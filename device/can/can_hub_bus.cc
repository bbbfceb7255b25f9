#include "device/can/can_hub_bus.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/can_columns.h"
#include "common/can/candump.h"
#include "common/status_macros.h"
#include "device/can/can_hub.h"

namespace fleet::device {
namespace {

constexpr int kMaxFilters = 16;

J1939Options ToJ1939(size_t bus, const BusPlan& plan) {
  J1939Options options{.bus = bus, .bus_name = plan.name, .dtcs = plan.j1939};
  for (const PlannedSpn& spn : plan.spns) options.choices.push_back({.spn = spn.spn, .index = spn.index});
  return options;
}

CanOpenOptions ToCanOpen(const BusPlan& plan) {
  CanOpenOptions options{.bus_name = plan.name};
  for (const PlannedNode& node : plan.canopen) {
    options.nodes.push_back({.node = node.node, .silent_after = node.silent_after, .signals = node.signals});
  }
  return options;
}

void Say(CommandId command, v1::CommandState state, absl::string_view reason, std::string detail, CanEffects& effects) {
  v1::CommandUpdate& update = effects.updates.emplace_back();
  update.set_command_id(Number(command));
  update.set_state(state);
  update.set_reason(std::string(reason));
  update.set_detail(std::move(detail));
}

absl::StatusOr<std::vector<CanFrame>> FramesOf(const v1::CanSend& send) {
  std::vector<CanFrame> frames;
  RETURN_IF_ERROR(ForEachFrame(send.frames(), [&](const CanFrame& frame) { frames.push_back(frame); }));
  if (frames.empty() || frames.size() > CanTaps::kMaxFrames) {
    return absl::InvalidArgumentError(absl::StrCat(frames.size(), " frames; an order has 1 to ", CanTaps::kMaxFrames));
  }
  return frames;
}

}  // namespace

CanHubBus::CanHubBus(const DeviceId& device, uint32_t epoch, size_t index, const BusPlan& plan, CanHubBooks books,
                     MonoTime now)
    : index_(index),
      name_(plan.name),
      max_tap_(plan.max_tap),
      listen_only_(plan.listen_only),
      books_(books),
      decoder_(plan.dbc),
      taps_(device, plan.name, epoch),
      gate_({.allow = plan.send_allow, .rate_hz = plan.send_rate_hz, .listen_only = plan.listen_only}) {
  if (plan.obd) obd_.emplace(index, name_, *plan.obd);
  if (plan.j1939 || !plan.spns.empty()) j1939_.emplace(ToJ1939(index, plan), books.signals, books.dtcs);
  if (!plan.canopen.empty()) canopen_.emplace(ToCanOpen(plan), books.signals, now);
  if (!plan.compat_base.empty()) compat_.emplace(plan.compat_base);
}

// ---- from the bus

void CanHubBus::Hear(const CanNews& news, Now now, CanEffects& effects) {
  HearReport(news, now, effects);
  for (const CanFrame& frame : news.frames) {
    if (!frame.is(kCanError)) Decode(frame, now, effects);
  }
  if (!taps_.empty()) taps_.Offer(news.frames, lost_, now.mono, effects);
  if (compat_) compat_->Publish(news.frames, effects);
  for (const CanOutcome& outcome : news.outcomes) HearOutcome(outcome, now, effects);
  TakeCleared(effects);
}

void CanHubBus::HearReport(const CanNews& news, Now now, CanEffects& effects) {
  const CanBusReport& report = news.report;
  if (report.up != report_.up || !reported_) {
    if (obd_) obd_->BusChanged(report.up, now.mono);
    // That it works from the beginning is no news.
    if (!report.up) Tell(v1::EVENT_KIND_CAN_DOWN, report.problem, effects);
    if (report.up && reported_) Tell(v1::EVENT_KIND_CAN_UP, "", effects);
  }
  if (report.bus_off > report_.bus_off) Tell(v1::EVENT_KIND_CAN_BUS_OFF, "", effects);
  report_ = report;
  reported_ = true;
  lost_ = news.dropped + report.lost;
  TellDrops(now.mono, effects);
}

void CanHubBus::TellDrops(MonoTime now, CanEffects& effects) {
  if (lost_ == told_lost_ || now < tell_lost_at_) return;
  Tell(v1::EVENT_KIND_CAN_DROPPED,
       absl::StrCat("frames ", lost_ - told_lost_, ", before us ", report_.lost, " of ", lost_), effects);
  told_lost_ = lost_;
  tell_lost_at_ = now + CanHub::kDropEventPause;
}

void CanHubBus::Decode(const CanFrame& frame, Now now, CanEffects& effects) {
  decoder_.Decode(frame, [&](size_t index, double value) {
    books_.signals.Update(index, value, frame.at_unix_us / 1000, now.mono, effects);
  });
  if (obd_) obd_->Hear(frame, now, Out(effects));
  if (j1939_) j1939_->Hear(frame, now, effects);
  if (canopen_) canopen_->Hear(frame, now, effects);
}

void CanHubBus::HearOutcome(const CanOutcome& outcome, Now now, CanEffects& effects) {
  // Who asked to see what we send does.
  const std::vector<CanFrame> sent(outcome.order.frames.begin(),
                                   outcome.order.frames.begin() + static_cast<std::ptrdiff_t>(outcome.sent));
  if (!taps_.empty()) taps_.Offer(sent, lost_, now.mono, effects);
  const auto job = jobs_.find(outcome.order.token);
  if (job == jobs_.end()) return;
  const CommandId command{outcome.order.token};
  std::string count = absl::StrCat("frames ", outcome.sent, " of ", outcome.order.frames.size());
  if (!job->second.clears) {
    Tell(v1::EVENT_KIND_CAN_SENT, absl::StrCat("command ", Number(command), " by ", job->second.by, " ", count),
         effects);
  }
  if (outcome.status.ok()) {
    const bool clears = job->second.clears;
    Say(command, v1::COMMAND_STATE_DONE, "", clears ? "all controllers were asked; DM1 shows which obey" : count,
        effects);
  } else {
    absl::StrAppend(&count, ": ", std::string(outcome.status.message()));
    Say(command, v1::COMMAND_STATE_FAILED, "bus_failed", std::move(count), effects);
  }
  jobs_.erase(job);
}

void CanHubBus::TakeCleared(CanEffects& effects) {
  if (!obd_) return;
  const std::optional<ObdCleared> cleared = obd_->TakeCleared();
  if (!cleared) return;
  Say(CommandId{cleared->token}, cleared->ok ? v1::COMMAND_STATE_DONE : v1::COMMAND_STATE_FAILED,
      cleared->ok ? "" : "bus_failed", cleared->detail, effects);
}

// ---- time

void CanHubBus::Tick(Now now, CanEffects& effects) {
  if (obd_) obd_->Tick(now, Out(effects));
  TakeCleared(effects);
  if (canopen_) canopen_->Tick(now, effects);
  std::vector<TapEnd> ended;
  taps_.Tick(now.mono, effects, ended);
  EndTaps(ended, effects);
  TellDrops(now.mono, effects);
}

MonoTime CanHubBus::NextDue() const {
  MonoTime due = taps_.NextDue();
  if (obd_) due = std::min(due, obd_->NextDue());
  if (canopen_) due = std::min(due, canopen_->NextDue());
  if (lost_ != told_lost_) due = std::min(due, tell_lost_at_);
  return due;
}

void CanHubBus::EndTaps(const std::vector<TapEnd>& ends, CanEffects& effects) const {
  for (const TapEnd& end : ends) {
    Say(end.command, end.in_time ? v1::COMMAND_STATE_DONE : v1::COMMAND_STATE_CANCELLED, end.in_time ? "" : "cancelled",
        absl::StrCat("frames ", end.frames), effects);
  }
}

// ---- towards the bus

void CanHubBus::Arrive(const Arrived& arrived, Now now, CanEffects& effects) {
  const absl::StatusOr<CanFrame> frame = compat_->Read(arrived);
  if (!frame.ok()) return;  // counted there
  if (!gate_.Judge({*frame}, now.mono).ok()) {
    ++refused_messages_;
    return;
  }
  effects.writes.push_back({.bus = index_, .frames = {*frame}});
}

absl::Status CanHubBus::Judge(const v1::CanSend& send, MonoTime now) {
  ASSIGN_OR_RETURN(const std::vector<CanFrame> frames, FramesOf(send));
  return gate_.Judge(frames, now);
}

absl::Status CanHubBus::Judge(const v1::CanTap& tap, MonoTime) const {
  if (tap.filters_size() > kMaxFilters) {
    return absl::InvalidArgumentError(absl::StrCat(tap.filters_size(), " filters; a tap has at most ", kMaxFilters));
  }
  for (const v1::CanFilter& filter : tap.filters()) RETURN_IF_ERROR(CheckCanFilter(filter));
  if (tap.duration_ms() == 0) return absl::InvalidArgumentError("a tap of no time");
  if (absl::Milliseconds(tap.duration_ms()) > max_tap_) {
    ++refused_taps_;
    if (max_tap_ == absl::ZeroDuration()) return absl::PermissionDeniedError("this bus may not be tapped (max_tap)");
    return absl::PermissionDeniedError(absl::StrCat("a tap may last ", absl::FormatDuration(max_tap_), " here"));
  }
  return absl::OkStatus();
}

absl::Status CanHubBus::Judge(const v1::ClearDtcs&, MonoTime) const {
  if (listen_only_) return absl::PermissionDeniedError("this bus is listened to only");
  if (!obd_ && !j1939_) return absl::InvalidArgumentError("this bus has neither obd nor j1939");
  return absl::OkStatus();
}

void CanHubBus::Run(CommandId command, const v1::CanSend& send, MonoTime, CanEffects& effects) {
  absl::StatusOr<std::vector<CanFrame>> frames = FramesOf(send);  // it was judged
  jobs_[Number(command)] = {.by = send.by()};
  Say(command, v1::COMMAND_STATE_RUNNING, "", "", effects);
  effects.writes.push_back({.bus = index_, .frames = *std::move(frames), .token = Number(command)});
}

void CanHubBus::Run(CommandId command, const v1::CanTap& tap, MonoTime now, CanEffects& effects) {
  if (taps_.Start(command, tap, lost_, now, effects)) return Say(command, v1::COMMAND_STATE_RUNNING, "", "", effects);
  Say(command, v1::COMMAND_STATE_FAILED, "overloaded", absl::StrCat("it has ", CanTaps::kMaxTaps, " taps already"),
      effects);
}

void CanHubBus::Run(CommandId command, const v1::ClearDtcs& clear, MonoTime now, CanEffects& effects) {
  if (!obd_) {
    jobs_[Number(command)] = {.clears = true, .by = clear.by()};
    Say(command, v1::COMMAND_STATE_RUNNING, "", "", effects);
    return j1939_->Clear(Number(command), effects);
  }
  const absl::Status status = obd_->Clear(Number(command), now);
  if (status.ok()) return Say(command, v1::COMMAND_STATE_RUNNING, "", "", effects);
  Say(command, v1::COMMAND_STATE_FAILED, "bus_failed", std::string(status.message()), effects);
}

bool CanHubBus::Cancel(CommandId command, CanEffects& effects) {
  const std::optional<TapEnd> end = taps_.Stop(command, effects);
  if (!end) return false;
  EndTaps({*end}, effects);
  return true;
}

uint64_t CanHubBus::refused_messages() const {
  if (!compat_) return 0;
  uint64_t refused = refused_messages_;
  for (const uint64_t count : compat_->counters().refused) refused += count;
  return refused;
}

void CanHubBus::Tell(v1::EventKind kind, std::string detail, CanEffects& effects) const {
  v1::Event& event = effects.events.emplace_back();
  event.set_kind(kind);
  event.set_name(name_);
  event.set_detail(std::move(detail));
}

}  // namespace fleet::device
