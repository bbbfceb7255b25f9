#include "device/command_gate.h"

#include <algorithm>

#include "common/codec.h"

namespace fleet::device {
namespace {

v1::CommandUpdate Answer(uint64_t command_id, Refusal refusal) {
  v1::CommandUpdate update;
  update.set_command_id(command_id);
  update.set_state(refusal == Refusal::kExpired ? v1::COMMAND_STATE_EXPIRED : v1::COMMAND_STATE_REJECTED);
  const absl::string_view word = Word(refusal);
  update.set_reason(word.data(), word.size());
  return update;
}

}  // namespace

absl::string_view Word(Refusal refusal) {
  switch (refusal) {
    case Refusal::kOversized:
      return "oversized";
    case Refusal::kMalformed:
      return "malformed";
    case Refusal::kBadSignature:
      return "bad_signature";
    case Refusal::kDuplicate:
      return "duplicate";
    case Refusal::kWrongVersion:
      return "wrong_version";
    case Refusal::kBadTtl:
      return "bad_ttl";
    case Refusal::kClockUnknown:
      return "clock_unknown";
    case Refusal::kBeforeStart:
      return "before_start";
    case Refusal::kExpired:
      return "expired";
    case Refusal::kUnknownEntity:
      return "unknown_entity";
    case Refusal::kBadSegment:
      return "bad_segment";
    case Refusal::kOverloaded:
      return "overloaded";
  }
  return "";
}

CommandGate::CommandGate(Options options) : options_(std::move(options)) {}

std::optional<SegmentOrder> CommandGate::Judge(absl::string_view payload, const ServerTime& time, MonoTime now,
                                               std::vector<v1::CommandUpdate>& updates) {
  int64_t remaining_ms = 0;
  std::optional<Refusal> refusal = Open(payload);
  const bool is_new = command_.id() != 0 && !remembered_.contains(command_.id());
  if (!refusal) {
    if (!is_new) {
      refusal = Refusal::kDuplicate;
    } else if (!Remember(now)) {
      refusal = Refusal::kOverloaded;
    } else if (refusal = CheckTime(time, now, remaining_ms); !refusal) {
      refusal = CheckSegment();
    }
  }
  if (refusal) {
    ++refused_[static_cast<size_t>(*refusal)];
    if (is_new) updates.push_back(Answer(command_.id(), *refusal));
    return std::nullopt;
  }
  ++passed_;
  return SegmentOrder{.command = CommandId{command_.id()},
                      .entity = EntityId{command_.segment().entity_id()},
                      .segment = command_.segment(),
                      .expires_at = now + absl::Milliseconds(remaining_ms)};
}

std::optional<Refusal> CommandGate::Open(absl::string_view payload) {
  command_.Clear();
  if (!CheckSize(payload).ok()) return Refusal::kOversized;
  if (!frame_.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return Refusal::kMalformed;
  const bool is_signed = !options_.key || options_.key->Verify(frame_.command(), frame_.tag());
  const absl::Status status = Decode(frame_.command(), command_);
  // What is not a command has no id to answer to, whatever the parser made of its first bytes.
  if (absl::IsDataLoss(status) || command_.id() == 0) command_.Clear();
  if (!is_signed) return Refusal::kBadSignature;
  if (command_.id() == 0) return Refusal::kMalformed;
  if (absl::IsUnimplemented(status)) return Refusal::kWrongVersion;
  return std::nullopt;
}

bool CommandGate::Remember(MonoTime now) {
  if (remembered_.size() >= kMaxRemembered) {
    absl::erase_if(remembered_, [now](const auto& entry) { return entry.second <= now; });
    if (remembered_.size() >= kMaxRemembered) return false;
  }
  const int64_t ttl_ms = std::min<int64_t>(command_.ttl_ms(), kMaxTtlMs);
  remembered_.emplace(command_.id(), now + absl::Milliseconds(ttl_ms) + kRememberedBeyondTtl);
  return true;
}

std::optional<Refusal> CommandGate::CheckTime(const ServerTime& time, MonoTime now, int64_t& remaining_ms) const {
  const int64_t ttl_ms = command_.ttl_ms();
  if (ttl_ms == 0 || ttl_ms > kMaxTtlMs) return Refusal::kBadTtl;
  const std::optional<int64_t> server_now_ms = time.NowMs(now);
  if (!server_now_ms || *server_now_ms < 0) return Refusal::kClockUnknown;
  const uint64_t latest_ms = static_cast<uint64_t>(*server_now_ms + kMaxFromFutureMs);
  if (command_.issued_unix_ms() > latest_ms) return Refusal::kClockUnknown;
  const int64_t age_ms = *server_now_ms - static_cast<int64_t>(command_.issued_unix_ms());
  if (age_ms >= ttl_ms) return Refusal::kExpired;
  if (age_ms > absl::ToInt64Milliseconds(now - options_.started)) return Refusal::kBeforeStart;
  remaining_ms = ttl_ms - std::max<int64_t>(age_ms, 0);
  return std::nullopt;
}

std::optional<Refusal> CommandGate::CheckSegment() const {
  if (!command_.has_segment()) return Refusal::kBadSegment;
  const v1::Segment& segment = command_.segment();
  if (std::ranges::find(options_.entities, EntityId{segment.entity_id()}) == options_.entities.end()) {
    return Refusal::kUnknownEntity;
  }
  if (segment.start_speed_mm_s() < 0 || segment.end_speed_mm_s() < 0) return Refusal::kBadSegment;
  switch (segment.type()) {
    case v1::SEGMENT_TYPE_HOLD:
      return std::nullopt;
    case v1::SEGMENT_TYPE_LINE:
    case v1::SEGMENT_TYPE_ARC_LEFT:
    case v1::SEGMENT_TYPE_ARC_RIGHT:
      if (segment.start_speed_mm_s() == 0 && segment.end_speed_mm_s() == 0) return Refusal::kBadSegment;
      return std::nullopt;
    default:
      return Refusal::kBadSegment;
  }
}

}  // namespace fleet::device
