// What follows when a request of ObdPoller is over.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "device/can/obd_poller.h"

namespace fleet::device {
namespace {

// Refusals that asking again does not change.
bool IsForGood(uint8_t nrc) {
  return nrc == 0x11 || nrc == 0x12 || nrc == 0x31;
}

}  // namespace

void ObdPoller::Finish(Now now, ObdOut out) {
  silent_ = exchange_.answered() ? 0 : silent_ + 1;
  switch (kind_) {
    case Kind::kNone:
      break;
    case Kind::kDiscover:
      FinishDiscovery(now, out);
      break;
    case Kind::kData:
      FinishData(now, out);
      break;
    case Kind::kMonitor:
    case Kind::kStored:
    case Kind::kPending:
      FinishCodes(now, out);
      break;
    case Kind::kClear:
      FinishClear(now.mono);
      break;
  }
  const bool is_nobody_there = state_ == State::kAsleep ? silent_ > 0 : silent_ >= kMaxSilent;
  if (!is_nobody_there) return;
  Sleep(now.mono + pause_);
  pause_ = std::min(pause_ * 2, kMaxPause);
}

void ObdPoller::FinishDiscovery(Now now, ObdOut out) {
  const bool is_anybody_there = std::ranges::any_of(ecus_, &Ecu::present);
  if (!is_anybody_there) silent_ = std::max(silent_, 1);  // a refusal is no controller to talk to
  // A bitmap that did not come is asked for again, until silence has lasted too long.
  if (silent_ > 0) return;
  state_ = State::kDiscovering;
  pause_ = kMinPause;
  rest_ = absl::ZeroDuration();
  const int next = next_bitmap_ + kObdBitmapPids;
  const bool is_there = next < 0x100 && std::ranges::any_of(ecus_, [&](const Ecu& ecu) {
                          return ecu.present && ecu.supported[static_cast<size_t>(next)];
                        });
  const bool is_wanted = !parameters_.empty() && parameters_.back().pid->pid > next;
  if (is_there && is_wanted) {
    next_bitmap_ = static_cast<uint8_t>(next);
  } else {
    Discovered(now, out);
  }
}

void ObdPoller::Discovered(Now now, ObdOut out) {
  state_ = State::kAlive;
  rediscover_ = MonoTime::Max();
  for (Parameter& parameter : parameters_) {
    const auto owner =
        std::ranges::find_if(ecus_, [&](const Ecu& ecu) { return ecu.present && ecu.supported[parameter.pid->pid]; });
    if (owner == ecus_.end()) {
      Lose(parameter, now, out);
    } else if (parameter.owner != owner->id) {
      parameter.owner = owner->id;
      parameter.due = now.mono;
    }
  }
}

void ObdPoller::Lose(Parameter& parameter, Now now, ObdOut out) {
  parameter.owner.reset();
  rediscover_ = std::min(rediscover_, now.mono + kRediscover);
  for (const size_t signal : parameter.signals) {
    out.signals.Invalidate(signal, now.unix_ms(), now.mono, out.effects);
  }
}

void ObdPoller::FinishData(Now now, ObdOut out) {
  std::vector<Parameter*> asked;
  for (const uint8_t pid : std::span(exchange_.request()).subspan(1)) asked.push_back(FindParameter(pid));
  if (asked.size() > 1) {
    FinishGroup(asked, now.mono);
  } else {
    FinishSingle(*asked[0], now, out);
  }
}

void ObdPoller::FinishGroup(std::span<Parameter* const> group, MonoTime now) {
  const auto missing = std::ranges::count(group, false, &Parameter::fresh);
  if (missing == 0) group_failures_ = 0;
  single_next_ = missing == static_cast<ptrdiff_t>(group.size());
  for (Parameter* parameter : group) {
    if (parameter->fresh) continue;
    parameter->due = now;
    parameter->probe = !single_next_;
  }
}

void ObdPoller::FinishSingle(Parameter& parameter, Now now, ObdOut out) {
  const bool follows_group = single_next_ || parameter.probe;
  if (follows_group && parameter.fresh && ++group_failures_ >= kMaxGroupFailures) group_ = 1;
  if (parameter.probe && !parameter.fresh) parameter.alone = true;
  single_next_ = parameter.probe = false;
  for (const ObdExchange::Controller& controller : exchange_.controllers()) {
    const bool refuses = controller.outcome == ObdExchange::Outcome::kRefused && controller.id == parameter.owner;
    if (refuses && IsForGood(controller.refusal)) Lose(parameter, now, out);
  }
}

void ObdPoller::FinishCodes(Now now, ObdOut out) {
  if (kind_ != Kind::kPending) {
    next_codes_ = kind_ == Kind::kMonitor ? Kind::kStored : Kind::kPending;
    return;
  }
  next_codes_ = Kind::kNone;
  for (const Ecu& ecu : ecus_) {
    if (!ecu.told_codes) continue;
    std::vector<DtcSeen> seen;
    for (const uint16_t code : ecu.stored) seen.push_back({.code = ObdDtcText(code), .status = "stored"});
    for (const uint16_t code : ecu.pending) seen.push_back({.code = ObdDtcText(code), .status = "pending"});
    out.dtcs.Report(Source(ecu), seen, now, out.effects);
  }
}

void ObdPoller::FinishClear(MonoTime now) {
  bool ok = false;
  bool failed = false;
  std::vector<std::string> said;
  for (const ObdExchange::Controller& controller : exchange_.controllers()) {
    const std::string ecu = ObdEcuText(controller.id);
    switch (controller.outcome) {
      case ObdExchange::Outcome::kSilent:
        if (controller.expected) said.push_back(absl::StrCat(ecu, " says nothing"));
        break;
      case ObdExchange::Outcome::kPending:
        failed = true;
        said.push_back(absl::StrCat(ecu, " did not finish"));
        break;
      case ObdExchange::Outcome::kAnswered:
        ok = true;
        said.push_back(absl::StrCat(ecu, " cleared"));
        break;
      case ObdExchange::Outcome::kRefused:
        failed = true;
        said.push_back(absl::StrCat(ecu, " refused: ", ObdRefusalText(controller.refusal)));
        break;
    }
  }
  EndClear(ok && !failed, exchange_.answered() ? absl::StrJoin(said, ", ") : "no controller answered");
  // What is left of the codes is looked at now.
  if (dtc_period_ > absl::ZeroDuration()) codes_due_ = now;
}

void ObdPoller::EndClear(bool ok, std::string detail) {
  cleared_ = ObdCleared{.token = *clear_, .ok = ok, .detail = std::move(detail)};
  clear_.reset();
}

}  // namespace fleet::device
