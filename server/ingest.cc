#include "server/ingest.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/codec.h"
#include "common/status_macros.h"
#include "common/topics.h"

namespace fleet::server {
namespace {

RejectReason ReasonOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOutOfRange:
      return RejectReason::kOversized;
    case absl::StatusCode::kNotFound:
      return RejectReason::kTopic;
    case absl::StatusCode::kDataLoss:
      return RejectReason::kParse;
    case absl::StatusCode::kUnimplemented:
      return RejectReason::kVersion;
    default:
      return RejectReason::kMeaning;
  }
}

absl::Status CheckNumbers(uint32_t epoch, uint32_t seq) {
  // UINT32_MAX is kept free as a mark; no device lives to send it.
  if (epoch != 0 && seq != 0 && seq != UINT32_MAX) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("epoch ", epoch, " and seq ", seq, " must be 1 or more"));
}

absl::Status CheckMeaning(const v1::Heartbeat& heartbeat) {
  return CheckNumbers(heartbeat.epoch(), heartbeat.seq());
}

absl::Status CheckMeaning(const v1::StateReport& report) {
  if (report.entities_size() > kMaxEntitiesPerDevice) {
    return absl::InvalidArgumentError(absl::StrCat(report.entities_size(), " entities in one report"));
  }
  return CheckNumbers(report.epoch(), report.seq());
}

absl::Status CheckMeaning(const v1::Status& status) {
  if (status.presence() == v1::PRESENCE_UNSPECIFIED || !v1::Presence_IsValid(status.presence())) {
    return absl::InvalidArgumentError("status without a known presence");
  }
  if (status.version().size() > 64 || status.entity_ids_size() > kMaxEntitiesPerDevice) {
    return absl::InvalidArgumentError("status with too long a version or too many entities");
  }
  return CheckNumbers(status.epoch(), 1);
}

absl::Status CheckMeaning(const v1::CommandReport& report) {
  if (report.updates_size() > kMaxUpdatesPerReport) return absl::InvalidArgumentError("too many command updates");
  for (const v1::CommandUpdate& update : report.updates()) {
    const bool known = v1::CommandState_IsValid(update.state()) && update.state() >= v1::COMMAND_STATE_RECEIVED;
    if (!known || update.command_id() == 0) {
      return absl::InvalidArgumentError(absl::StrCat("command update to state ", static_cast<int>(update.state())));
    }
    if (update.reason().size() > 64 || update.detail().size() > 1024) {
      return absl::InvalidArgumentError("command update with too long a text");
    }
  }
  return CheckNumbers(report.epoch(), 1);
}

template <typename MessageT>
absl::Status DecodeAndCheck(absl::string_view payload, MessageT& out) {
  RETURN_IF_ERROR(Decode(payload, out));
  return CheckMeaning(out);
}

}  // namespace

absl::StatusOr<Event> Ingest::Read(absl::string_view topic, absl::string_view payload) {
  absl::StatusOr<Event> event = Understand(topic, payload);
  if (event.ok()) {
    ++counters_.accepted;
  } else {
    ++counters_.rejected[static_cast<size_t>(ReasonOf(event.status().code()))];
  }
  return event;
}

absl::StatusOr<Event> Ingest::Understand(absl::string_view topic, absl::string_view payload) {
  RETURN_IF_ERROR(CheckSize(payload));
  const std::optional<ParsedDeviceTopic> parsed = ParseDeviceTopic(topic);
  if (!parsed) return absl::NotFoundError(absl::StrCat("topic ", absl::CHexEscape(topic.substr(0, 100))));
  switch (parsed->topic) {
    case DeviceTopic::kHeartbeat:
      RETURN_IF_ERROR(DecodeAndCheck(payload, heartbeat_));
      return HeartbeatEvent{parsed->device, &heartbeat_};
    case DeviceTopic::kState:
      RETURN_IF_ERROR(DecodeAndCheck(payload, report_));
      return StateEvent{parsed->device, &report_, payload};
    case DeviceTopic::kStatus:
      RETURN_IF_ERROR(DecodeAndCheck(payload, status_));
      return StatusEvent{parsed->device, &status_};
    case DeviceTopic::kCommandAck:
      RETURN_IF_ERROR(DecodeAndCheck(payload, command_report_));
      return CommandReportEvent{parsed->device, &command_report_};
  }
  return absl::InternalError("unreachable");
}

}  // namespace fleet::server
