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
constexpr absl::Duration kCompatPatience = absl::Seconds(1);  // of a frame that nobody waits for
constexpr uint64_t kCompatToken = UINT64_MAX;                 // no command has it

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
  HearReport(news, now);
  TellState(now.mono, effects);
  TellCounts(now.mono, effects);
  for (const CanFrame& frame : news.frames) {
    if (!frame.is(kCanError)) Decode(frame, now, effects);
  }
  if (!taps_.empty()) taps_.Offer(news.frames, counts_.lost, now.mono, effects);
  if (compat_) compat_->Publish(news.frames, effects);
  for (const CanOutcome& outcome : news.outcomes) HearOutcome(outcome, now, effects);
  TakeCleared(effects);
}

void CanHubBus::HearReport(const CanNews& news, Now now) {
  if (obd_) obd_->BusChanged(news.report.up, now.mono);
  was_up_ = was_up_ || news.report.up;
  // A bus that is being opened is no news, nor is one that comes and goes all the time each time.
  if (news.report.up == is_up_) {
    tell_state_at_ = MonoTime::Max();
  } else if (tell_state_at_ == MonoTime::Max()) {
    tell_state_at_ = std::max(was_up_ ? now.mono : now.mono + CanHub::kOpeningTakes,
                              state_due_ - CanHub::kEventBurst * CanHub::kEventPause);
  }
  report_ = news.report;
  frames_ += news.frames.size();
  counts_ = {.lost = news.dropped + report_.lost,
             .errors = report_.error_frames + report_.malformed,
             .bus_off = report_.bus_off};
}

void CanHubBus::TellState(MonoTime now, CanEffects& effects) {
  if (now < tell_state_at_) return;
  tell_state_at_ = MonoTime::Max();
  state_due_ = std::max(state_due_, now) + CanHub::kEventPause;
  is_up_ = report_.up;
  if (is_up_) return Tell(v1::EVENT_KIND_CAN_UP, "", effects);
  Tell(v1::EVENT_KIND_CAN_DOWN, report_.problem, effects);
}

void CanHubBus::TellCounts(MonoTime now, CanEffects& effects) {
  if (counts_ == told_ || now < tell_counts_at_) return;
  if (counts_.bus_off != told_.bus_off) {
    Tell(v1::EVENT_KIND_CAN_BUS_OFF, absl::StrCat("times ", counts_.bus_off - told_.bus_off), effects);
  }
  if (counts_.lost != told_.lost) {
    Tell(v1::EVENT_KIND_CAN_DROPPED,
         absl::StrCat("frames ", counts_.lost - told_.lost, ", before us ", report_.lost, " of ", counts_.lost),
         effects);
  }
  if (counts_.errors != told_.errors) {
    Tell(v1::EVENT_KIND_CAN_ERRORS,
         absl::StrCat("error frames ", report_.error_frames, ", malformed ", report_.malformed), effects);
  }
  told_ = counts_;
  tell_counts_at_ = now + CanHub::kEventPause;
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
  if (!taps_.empty()) taps_.Offer(sent, counts_.lost, now.mono, effects);
  const auto job = jobs_.find(outcome.order.token);
  if (outcome.order.token == kCompatToken) refused_messages_ += outcome.order.frames.size() - outcome.sent;
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
  } else if (outcome.sent == 0 && absl::IsDeadlineExceeded(outcome.status)) {
    Say(command, v1::COMMAND_STATE_EXPIRED, "expired", "the bus was too busy", effects);
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
  TellState(now.mono, effects);
  TellCounts(now.mono, effects);
}

MonoTime CanHubBus::NextDue() const {
  MonoTime due = taps_.NextDue();
  if (obd_) due = std::min(due, obd_->NextDue());
  if (canopen_) due = std::min(due, canopen_->NextDue());
  if (counts_ != told_) due = std::min(due, tell_counts_at_);
  return std::min(due, tell_state_at_);
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
  effects.writes.push_back(
      {.bus = index_, .frames = {*frame}, .token = kCompatToken, .not_after = now.mono + kCompatPatience});
}

absl::Status CanHubBus::Judge(const v1::CanSend& send, MonoTime now) {
  ASSIGN_OR_RETURN(const std::vector<CanFrame> frames, FramesOf(send));
  return gate_.Judge(frames, now);
}

absl::Status CanHubBus::Judge(const v1::CanTap& tap, MonoTime) {
  if (tap.filters_size() > kMaxFilters) {
    return absl::InvalidArgumentError(absl::StrCat(tap.filters_size(), " filters; a tap has at most ", kMaxFilters));
  }
  for (const v1::CanFilter& filter : tap.filters()) RETURN_IF_ERROR(CheckCanFilter(filter));
  if (tap.duration_ms() == 0) return absl::InvalidArgumentError("a tap of no time");
  if (absl::Milliseconds(tap.duration_ms()) > max_tap_) {
    ++refused_others_;
    if (max_tap_ == absl::ZeroDuration()) return absl::PermissionDeniedError("this bus may not be tapped (max_tap)");
    return absl::PermissionDeniedError(absl::StrCat("a tap may last ", absl::FormatDuration(max_tap_), " here"));
  }
  return absl::OkStatus();
}

absl::Status CanHubBus::Judge(const v1::ClearDtcs&, MonoTime) {
  if (listen_only_) {
    ++refused_others_;
    return absl::PermissionDeniedError("this bus is listened to only");
  }
  if (!obd_ && !j1939_) return absl::InvalidArgumentError("this bus has neither obd nor j1939");
  return absl::OkStatus();
}

void CanHubBus::Run(const CanCommand& command, const v1::CanSend& body, MonoTime, CanEffects& effects) {
  absl::StatusOr<std::vector<CanFrame>> frames = FramesOf(body);  // it was judged
  const uint64_t token = Number(command.command);
  jobs_[token] = {.by = body.by()};
  Say(command.command, v1::COMMAND_STATE_RUNNING, "", "", effects);
  effects.writes.push_back(
      {.bus = index_, .frames = *std::move(frames), .token = token, .not_after = command.expires_at});
}

void CanHubBus::Run(const CanCommand& command, const v1::CanTap& body, MonoTime now, CanEffects& effects) {
  if (taps_.Start(command.command, body, counts_.lost, now, effects)) {
    return Say(command.command, v1::COMMAND_STATE_RUNNING, "", "", effects);
  }
  Say(command.command, v1::COMMAND_STATE_FAILED, "overloaded",
      absl::StrCat("it has ", CanTaps::kMaxTaps, " taps already"), effects);
}

// Where both protocols are spoken OBD-II answers for the command, and J1939 is asked too.
void CanHubBus::Run(const CanCommand& command, const v1::ClearDtcs& body, MonoTime now, CanEffects& effects) {
  const uint64_t token = Number(command.command);
  const absl::Status status = obd_ ? obd_->Clear(token, now) : absl::OkStatus();
  if (!status.ok()) {
    return Say(command.command, v1::COMMAND_STATE_FAILED, "bus_failed", std::string(status.message()), effects);
  }
  if (!obd_) jobs_[token] = {.clears = true, .by = body.by()};
  if (j1939_) j1939_->Clear(obd_ ? 0 : token, effects);
  Tell(v1::EVENT_KIND_DTCS_CLEARED, absl::StrCat("command ", token, " by ", body.by()), effects);
  Say(command.command, v1::COMMAND_STATE_RUNNING, "", "", effects);
}

void CanHubBus::Stop(CanEffects& effects) {
  EndTaps(taps_.StopAll("the agent stops", effects), effects);
}

bool CanHubBus::Cancel(CommandId command, CanEffects& effects) {
  const std::optional<TapEnd> end = taps_.Stop(command, "taken back", effects);
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
