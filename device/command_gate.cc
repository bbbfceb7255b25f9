#include "device/command_gate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/codec.h"
#include "common/modbus/modbus_json.h"

namespace fleet::device {
namespace {

// Year 36812. What was issued later is nonsense, and must not overflow.
constexpr uint64_t kLatestMs = uint64_t{1} << 50;

struct Wording {
  absl::string_view word;
  v1::CommandState state = v1::COMMAND_STATE_REJECTED;
};

Wording WordingOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kOversized:
      return {"oversized"};
    case Refusal::kMalformed:
      return {"malformed"};
    case Refusal::kBadSignature:
      return {"bad_signature"};
    case Refusal::kWrongVersion:
      return {"wrong_version"};
    case Refusal::kDuplicate:
      return {"duplicate"};
    case Refusal::kBadTtl:
      return {"bad_ttl"};
    case Refusal::kClockUnknown:
      return {"clock_unknown"};
    case Refusal::kMemoryLost:
      return {"memory_lost", v1::COMMAND_STATE_UNKNOWN};
    case Refusal::kExpired:
      return {"expired", v1::COMMAND_STATE_EXPIRED};
    case Refusal::kUnknownEntity:
      return {"unknown_entity"};
    case Refusal::kBadSegment:
      return {"bad_segment"};
    case Refusal::kUnknownBus:
      return {"unknown_bus"};
    case Refusal::kUnknownDevice:
      return {"unknown_device"};
    case Refusal::kBadOrder:
      return {"bad_order"};
    case Refusal::kNotAllowed:
      return {"not_allowed"};
    case Refusal::kStopped:
      return {"stopped", v1::COMMAND_STATE_CANCELLED};
    case Refusal::kNewerKnown:
      return {"newer_known", v1::COMMAND_STATE_SUPERSEDED};
    case Refusal::kOverloaded:
      return {"overloaded"};
  }
  return {};
}

v1::CommandUpdate Answer(uint64_t command_id, Refusal refusal, const std::string& detail) {
  const Wording wording = WordingOf(refusal);
  v1::CommandUpdate update;
  update.set_command_id(command_id);
  update.set_state(wording.state);
  update.set_reason(wording.word.data(), wording.word.size());
  update.set_detail(detail);
  return update;
}

int64_t IssuedMs(const v1::Command& command) {
  return static_cast<int64_t>(std::min(command.issued_unix_ms(), kLatestMs));
}

}  // namespace

absl::string_view Word(Refusal refusal) {
  return WordingOf(refusal).word;
}

CommandGate::CommandGate(Options options) : options_(std::move(options)) {}

std::optional<PassedCommand> CommandGate::Judge(absl::string_view payload, const ServerTime& time, MonoTime now,
                                                CommandMemory& memory, std::vector<v1::CommandUpdate>& updates) {
  const std::optional<int64_t> server_now_ms = time.NowMs(now);
  detail_.clear();
  std::optional<Refusal> refusal = Open(payload);
  const RememberedCommand* known = memory.Find(command_.id());
  if (!refusal) refusal = known != nullptr ? Refusal::kDuplicate : JudgeNew(server_now_ms, now, memory);
  if (!refusal) {
    ++passed_;
    return Pass(*server_now_ms, now);
  }
  ++refused_[static_cast<size_t>(*refusal)];
  if (refusal == Refusal::kDuplicate) {
    updates.push_back(UpdateOf(*known));
  } else if (command_.id() != 0 && known == nullptr) {
    updates.push_back(Answer(command_.id(), *refusal, detail_));
  }
  return std::nullopt;
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

std::optional<Refusal> CommandGate::JudgeNew(std::optional<int64_t> server_now_ms, MonoTime now,
                                             CommandMemory& memory) {
  std::optional<Refusal> refusal = CheckTime(server_now_ms, memory);
  if (refusal == Refusal::kMemoryLost) return refusal;  // and so it is whenever it comes again
  if (!refusal) refusal = CheckMeaning(now);
  if (!refusal) refusal = CheckBarriers(memory);
  const bool is_for_bus = !command_.has_segment() && !command_.has_cancel();
  const bool has_room = !is_for_bus || memory.size() < CommandMemory::kMaxWithBusCommands;
  const bool is_remembered = has_room && memory.Add(ToRemember(refusal), server_now_ms);
  // To obey a cancel twice does no harm; not to obey a stop because of what is to be stopped would.
  if (!refusal && !is_remembered && !command_.has_cancel()) return Refusal::kOverloaded;
  return refusal;
}

std::optional<Refusal> CommandGate::CheckTime(std::optional<int64_t> server_now_ms, const CommandMemory& memory) const {
  const int64_t ttl_ms = command_.ttl_ms();
  if (ttl_ms == 0 || ttl_ms > CommandMemory::kMaxTtlMs) return Refusal::kBadTtl;
  const int64_t issued_ms = IssuedMs(command_);
  if (!memory.ReachesBackTo(command_.id(), issued_ms)) return Refusal::kMemoryLost;
  if (!server_now_ms || issued_ms > *server_now_ms + kMaxFromFutureMs) return Refusal::kClockUnknown;
  if (*server_now_ms - issued_ms >= ttl_ms) return Refusal::kExpired;
  return std::nullopt;
}

std::optional<Refusal> CommandGate::CheckMeaning(MonoTime now) {
  switch (command_.body_case()) {
    case v1::Command::kSegment:
      return CheckSegment();
    case v1::Command::kCancel:
      return CheckCancel();
    case v1::Command::kCanSend:
    case v1::Command::kCanTap:
    case v1::Command::kClearDtcs:
      return CheckCan(now);
    case v1::Command::kModbus:
      return CheckModbus(now);
    case v1::Command::BODY_NOT_SET:
      break;
  }
  return Refusal::kBadSegment;
}

std::optional<Refusal> CommandGate::CheckCancel() const {
  const v1::Cancel& cancel = command_.cancel();
  switch (cancel.target_case()) {
    case v1::Cancel::kCommandId:
      if (cancel.command_id() == 0) return Refusal::kBadSegment;
      return std::nullopt;
    case v1::Cancel::kEntityId:
      if (!Drives(cancel.entity_id())) return Refusal::kUnknownEntity;
      return std::nullopt;
    case v1::Cancel::kDevice:
    case v1::Cancel::kStop:
      if (!cancel.device() && !cancel.stop()) return Refusal::kBadSegment;
      return std::nullopt;
    default:
      return Refusal::kBadSegment;
  }
}

std::optional<Refusal> CommandGate::CheckSegment() const {
  const v1::Segment& segment = command_.segment();
  if (!Drives(segment.entity_id())) return Refusal::kUnknownEntity;
  if (segment.mode() > v1::SEGMENT_MODE_APPEND || segment.mode() < 0) return Refusal::kBadSegment;
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

std::optional<Refusal> CommandGate::CheckCan(MonoTime now) {
  if (options_.can == nullptr) {
    detail_ = "this device has no CAN bus";
    return Refusal::kUnknownBus;
  }
  const absl::Status status = options_.can->Judge(command_, now);
  if (status.ok()) return std::nullopt;
  detail_ = std::string(status.message());
  if (absl::IsNotFound(status)) return Refusal::kUnknownBus;
  return absl::IsInvalidArgument(status) ? Refusal::kBadOrder : Refusal::kNotAllowed;
}

std::optional<Refusal> CommandGate::CheckModbus(MonoTime now) {
  if (options_.modbus == nullptr) {
    detail_ = "this device has no Modbus";
    return Refusal::kUnknownDevice;
  }
  const std::optional<ModbusFailure> failure = options_.modbus->Judge(command_.modbus(), now);
  if (!failure) return std::nullopt;
  detail_ = failure->message;
  if (failure->code == "unknown_device") return Refusal::kUnknownDevice;
  if (failure->code == "not_allowed" || failure->code == "too_soon") return Refusal::kNotAllowed;
  detail_ = absl::StrCat(failure->code, ": ", failure->message);
  return Refusal::kBadOrder;
}

std::optional<Refusal> CommandGate::CheckBarriers(const CommandMemory& memory) const {
  // A cancel that comes late does no harm: it takes back only what has a lower id than its own. A tap and a read move
  // nothing.
  const bool reads = command_.has_modbus() && !AsksToWrite(command_.modbus().request());
  if (command_.has_cancel() || command_.has_can_tap() || reads) return std::nullopt;
  if (!command_.has_segment()) {
    if (command_.id() < memory.CancelledBelow(0)) return Refusal::kStopped;
    return std::nullopt;
  }
  const uint32_t entity_id = command_.segment().entity_id();
  if (command_.id() < memory.CancelledBelow(entity_id)) return Refusal::kStopped;
  if (command_.id() < memory.ReplacedBelow(entity_id)) return Refusal::kNewerKnown;
  return std::nullopt;
}

bool CommandGate::Drives(uint32_t entity_id) const {
  return std::ranges::find(options_.entities, EntityId{entity_id}) != options_.entities.end();
}

RememberedCommand CommandGate::ToRemember(std::optional<Refusal> refusal) const {
  RememberedCommand known{.id = command_.id(), .is_cancel = command_.has_cancel()};
  known.expires_ms = IssuedMs(command_) + std::min<int64_t>(command_.ttl_ms(), CommandMemory::kMaxTtlMs);
  known.entity_id = known.is_cancel ? command_.cancel().entity_id() : command_.segment().entity_id();
  known.detail = detail_;
  if (refusal) {
    const Wording wording = WordingOf(*refusal);
    known.state = wording.state;
    known.reason.assign(wording.word.data(), wording.word.size());
    return known;
  }
  known.state = v1::COMMAND_STATE_ACCEPTED;
  known.is_barrier = known.is_cancel ? !command_.cancel().has_command_id()
                                     : command_.has_segment() && command_.segment().mode() != v1::SEGMENT_MODE_APPEND;
  return known;
}

PassedCommand CommandGate::Pass(int64_t server_now_ms, MonoTime now) const {
  const CommandId id{command_.id()};
  const int64_t issued_ms = IssuedMs(command_);
  if (command_.has_cancel()) return CancelOrder{.command = id, .issued_ms = issued_ms, .cancel = command_.cancel()};
  const int64_t age_ms = std::max<int64_t>(server_now_ms - issued_ms, 0);
  const MonoTime expires_at = now + absl::Milliseconds(command_.ttl_ms() - age_ms);
  if (command_.has_can_send()) return CanCommand{id, expires_at, command_.can_send()};
  if (command_.has_can_tap()) return CanCommand{id, expires_at, command_.can_tap()};
  if (command_.has_clear_dtcs()) return CanCommand{id, expires_at, command_.clear_dtcs()};
  if (command_.has_modbus()) return ModbusCommand{id, expires_at, command_.modbus()};
  return SegmentOrder{.command = id,
                      .entity = EntityId{command_.segment().entity_id()},
                      .segment = command_.segment(),
                      .expires_at = expires_at};
}

}  // namespace fleet::device
