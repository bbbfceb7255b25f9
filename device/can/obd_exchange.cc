#include "device/can/obd_exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"

namespace fleet::device {
namespace {

// ISO 15765-4: requests to all, and answers. 7E8 belongs to 7E0, 18DAF1xx to 18DAxxF1.
constexpr IsoTpId kAll11{.id = 0x7DF, .extended = false};
constexpr IsoTpId kAll29{.id = 0x18DB33F1, .extended = true};
constexpr uint32_t kFirstAnswer11 = 0x7E8;
constexpr uint32_t kLastAnswer11 = 0x7EF;
constexpr uint32_t kAnswerOffset11 = 8;
constexpr uint32_t kAnswer29 = 0x18DAF100;
constexpr uint32_t kPhysical29 = 0x18DA00F1;

constexpr uint8_t kPositive = 0x40;  // added to the service
constexpr uint8_t kNegative = 0x7F;
constexpr uint8_t kResponsePending = 0x78;

// The service byte of a frame that begins a message; 0: it begins none.
uint8_t ServiceOf(const CanFrame& frame) {
  switch (frame.data[0] >> 4) {
    case 0:
      return frame.size > 1 ? frame.data[1] : 0;
    case 1:
      return frame.size > 2 ? frame.data[2] : 0;
    default:
      return 0;
  }
}

}  // namespace

void ObdExchange::Begin(std::vector<uint8_t> request, std::span<const uint32_t> expected, MonoTime now,
                        std::vector<CanFrame>& send) {
  for (Controller& controller : controllers_) {
    controller.receiver.Reset();
    controller.expected = std::ranges::find(expected, controller.id) != expected.end();
    controller.outcome = Outcome::kSilent;
  }
  request_ = std::move(request);
  busy_ = true;
  begun_ = now;
  ++counters_.requests;
  send.push_back(MakeIsoTpSingle(extended_ ? kAll29 : kAll11, request_));
}

void ObdExchange::GiveUp() {
  busy_ = false;
  for (Controller& controller : controllers_) controller.receiver.Reset();
}

std::optional<ObdAnswer> ObdExchange::Hear(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send) {
  if (!IsAnswerId(frame) || request_.empty()) return std::nullopt;
  const uint8_t service = ServiceOf(frame);
  const bool is_positive = service == (request_[0] | kPositive);
  if (!busy_) {
    if (is_positive) Discard();
    return std::nullopt;
  }
  // Nobody but the one who asked may grant the rest of a long message.
  if (frame.data[0] >> 4 == 1 && !is_positive) return std::nullopt;
  Controller* controller = Find(frame.id, is_positive || service == kNegative);
  if (controller == nullptr) return std::nullopt;
  auto message = controller->receiver.Hear(frame, now, send);
  if (!message.has_value()) return std::nullopt;
  if ((*message)[0] == kNegative) {
    TakeRefusal(*controller, *message, now);
    return std::nullopt;
  }
  if ((*message)[0] != (request_[0] | kPositive) || controller->outcome == Outcome::kAnswered) {
    Discard();
    return std::nullopt;
  }
  return ObdAnswer{.ecu = frame.id, .message = *std::move(message)};
}

void ObdExchange::TakeRefusal(Controller& controller, std::span<const uint8_t> message, MonoTime now) {
  if (message.size() != 3 || message[1] != request_[0]) return Discard();
  if (controller.outcome == Outcome::kAnswered) return Discard();
  if (message[2] == kResponsePending) {
    controller.outcome = Outcome::kPending;
    controller.pending_until = now + kPending;
    return;
  }
  controller.outcome = Outcome::kRefused;
  controller.refusal = message[2];
  ++counters_.refusals;
}

void ObdExchange::Accept(uint32_t ecu) {
  Find(ecu, false)->outcome = Outcome::kAnswered;
  ++counters_.answers;
}

void ObdExchange::Discard() {
  ++counters_.misfits;
  patience_ = std::min(patience_ * 2, kMaxPatience);
}

bool ObdExchange::TakeEnd(MonoTime now) {
  if (!busy_) return false;
  for (Controller& controller : controllers_) controller.receiver.Tick(now);
  if (now < NextDue()) return false;
  GiveUp();
  if (!answered()) ++counters_.unanswered;
  return true;
}

MonoTime ObdExchange::NextDue() const {
  if (!busy_) return MonoTime::Max();
  std::optional<MonoTime> all_are_through;  // of those in the middle of something
  bool expects = false;
  bool misses = false;
  for (const Controller& controller : controllers_) {
    const auto is_at_it_until = [&](MonoTime until) {
      all_are_through = std::max(all_are_through.value_or(until), until);
    };
    if (controller.receiver.receiving()) is_at_it_until(controller.receiver.NextDue());
    if (controller.outcome == Outcome::kPending) is_at_it_until(controller.pending_until);
    expects |= controller.expected;
    misses |= controller.expected && controller.outcome < Outcome::kAnswered;
  }
  if (expects && !misses && !all_are_through.has_value()) return begun_;
  return std::min(std::max(begun_ + patience_, all_are_through.value_or(begun_)), begun_ + kLongest);
}

bool ObdExchange::answered() const {
  return std::ranges::any_of(controllers_, [](const Controller& c) { return c.outcome != Outcome::kSilent; });
}

bool ObdExchange::IsAnswerId(const CanFrame& frame) const {
  if ((frame.flags & ~kCanExtended) != 0 || frame.is(kCanExtended) != extended_) return false;
  if (extended_) return (frame.id & ~0xFFu) == kAnswer29;
  return frame.id >= kFirstAnswer11 && frame.id <= kLastAnswer11;
}

IsoTpId ObdExchange::FlowControlId(uint32_t answer_id) const {
  if (!extended_) return {.id = answer_id - kAnswerOffset11, .extended = false};
  return {.id = kPhysical29 | (answer_id & 0xFF) << 8, .extended = true};
}

ObdExchange::Controller* ObdExchange::Find(uint32_t id, bool may_be_new) {
  const auto at = std::ranges::lower_bound(controllers_, id, {}, &Controller::id);
  if (at != controllers_.end() && at->id == id) return &*at;
  if (!may_be_new) return nullptr;
  if (controllers_.size() >= kMaxEcus) {
    ++counters_.too_many;
    return nullptr;
  }
  const IsoTpReceiver receiver({.answer = FlowControlId(id)});
  return &*controllers_.insert(at, Controller{.id = id, .receiver = receiver, .pending_until = {}});
}

ObdExchange::Counters ObdExchange::counters() const {
  Counters counters = counters_;
  for (const Controller& controller : controllers_) {
    const IsoTpReceiver::Counters& lost = controller.receiver.counters();
    counters.transport += lost.malformed + lost.out_of_sequence + lost.interrupted + lost.timed_out + lost.too_long;
  }
  return counters;
}

std::string ObdEcuText(uint32_t ecu) {
  return absl::StrFormat("%X", ecu);
}

}  // namespace fleet::device
