#include "server/ingest.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/can/can_columns.h"
#include "common/codec.h"
#include "common/status_macros.h"
#include "common/topics.h"

namespace fleet::server {
namespace {

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

absl::Status CheckRecords(uint32_t epoch, uint64_t first_seq, int count, int max_count) {
  if (count < 1 || count > max_count) return absl::InvalidArgumentError(absl::StrCat(count, " records in one batch"));
  if (epoch != 0 && first_seq != 0 && first_seq <= kMaxRecordNumber) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("epoch ", epoch, " and first_seq ", first_seq, " cannot be"));
}

absl::Status CheckDtc(const v1::Dtc& dtc, bool has_code) {
  if (!IsBusName(dtc.bus())) return absl::InvalidArgumentError("trouble code of a bus without a name");
  if (dtc.protocol().empty() || dtc.code().empty() == has_code) {
    return absl::InvalidArgumentError("trouble code without a protocol or a code");
  }
  for (const std::string* text : {&dtc.protocol(), &dtc.code(), &dtc.status()}) {
    if (!std::ranges::all_of(*text, absl::ascii_isprint)) {
      return absl::InvalidArgumentError("trouble code with a text that is not printable ASCII");
    }
  }
  if (dtc.protocol().size() > 16 || dtc.code().size() > 64 || dtc.status().size() > 16) {
    return absl::InvalidArgumentError("trouble code with too long a text");
  }
  return absl::OkStatus();
}

absl::Status CheckMeaning(const v1::EventBatch& batch) {
  for (const v1::Event& event : batch.events()) {
    if (event.kind() == v1::EVENT_KIND_UNSPECIFIED || !v1::EventKind_IsValid(event.kind())) {
      return absl::InvalidArgumentError(absl::StrCat("event of kind ", static_cast<int>(event.kind())));
    }
    if (event.name().size() > 64 || event.detail().size() > 200) {
      return absl::InvalidArgumentError("event with too long a text");
    }
    const bool has_code = event.kind() == v1::EVENT_KIND_DTC_SET || event.kind() == v1::EVENT_KIND_DTC_CLEARED;
    const bool is_dtc = has_code || event.kind() == v1::EVENT_KIND_DTC_SCANNED;
    if (is_dtc || event.has_dtc()) RETURN_IF_ERROR(CheckDtc(event.dtc(), has_code));
  }
  return CheckRecords(batch.epoch(), batch.first_seq(), batch.events_size(), kMaxEventsPerBatch);
}

absl::Status CheckMeaning(const v1::TelemetryBatch& batch) {
  const int samples = batch.value_size();
  if (batch.signal_size() != samples || batch.after_ms_size() != samples) {
    return absl::InvalidArgumentError("telemetry columns of different length");
  }
  for (const std::string& signal : batch.signals()) {
    if (!IsSignalName(signal)) {
      return absl::InvalidArgumentError(absl::StrCat("signal name ", absl::CHexEscape(signal.substr(0, 100))));
    }
  }
  for (const uint32_t signal : batch.signal()) {
    if (signal >= static_cast<uint32_t>(batch.signals_size())) {
      return absl::InvalidArgumentError(absl::StrCat("sample of signal ", signal, ", which has no name"));
    }
  }
  return CheckRecords(batch.epoch(), batch.first_seq(), samples, kMaxPayloadBytes);
}

absl::Status CheckDrops(const v1::EpochAccount& account) {
  if (account.dropped_size() > kMaxDropsPerAccount) return absl::InvalidArgumentError("too many dropped ranges");
  uint64_t last = 0;
  for (const v1::DroppedRange& dropped : account.dropped()) {
    if (dropped.reason() == v1::DROP_REASON_UNSPECIFIED || !v1::DropReason_IsValid(dropped.reason())) {
      return absl::InvalidArgumentError(absl::StrCat("dropped for reason ", static_cast<int>(dropped.reason())));
    }
    if (dropped.first_seq() <= last || dropped.last_seq() < dropped.first_seq() ||
        dropped.last_seq() > account.made()) {
      return absl::InvalidArgumentError(absl::StrCat("dropped range ", dropped.first_seq(), " to ", dropped.last_seq(),
                                                     " of ", account.made(), " records"));
    }
    last = dropped.last_seq();
  }
  return absl::OkStatus();
}

absl::Status CheckMeaning(const v1::LedgerReport& report) {
  if (report.accounts_size() > kMaxAccountsPerReport) return absl::InvalidArgumentError("too many accounts");
  for (const v1::EpochAccount& account : report.accounts()) {
    if (account.stream() == v1::STREAM_UNSPECIFIED || !v1::Stream_IsValid(account.stream())) {
      return absl::InvalidArgumentError(absl::StrCat("account of stream ", static_cast<int>(account.stream())));
    }
    if (account.epoch() == 0 || account.epoch() > report.epoch()) {
      return absl::InvalidArgumentError(
          absl::StrCat("account of epoch ", account.epoch(), " in epoch ", report.epoch()));
    }
    if (account.made() > kMaxRecordNumber || account.waiting() > account.made()) {
      return absl::InvalidArgumentError(absl::StrCat(account.waiting(), " of ", account.made(), " records wait"));
    }
    RETURN_IF_ERROR(CheckDrops(account));
  }
  return CheckNumbers(report.epoch(), report.number());
}

absl::Status CheckMeaning(const v1::CanBatch& batch) {
  const int frames = batch.frames().id_size();
  if (frames < 1 || frames > kMaxFramesPerBatch) {
    return absl::InvalidArgumentError(absl::StrCat(frames, " frames in one batch"));
  }
  if (batch.tap() == 0) return absl::InvalidArgumentError("frames of no tap");
  const absl::Status valid = ForEachFrame(batch.frames(), [](const CanFrame&) {});
  if (!valid.ok()) return absl::InvalidArgumentError(valid.message());
  return CheckNumbers(batch.epoch(), batch.seq());
}

template <typename MessageT>
absl::Status DecodeAndCheck(absl::string_view payload, MessageT& out) {
  RETURN_IF_ERROR(Decode(payload, out));
  return CheckMeaning(out);
}

}  // namespace

RejectReason Ingest::ReasonOf(const absl::Status& status) {
  switch (status.code()) {
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

absl::StatusOr<Event> Ingest::Read(absl::string_view topic, absl::string_view payload, bool retained) {
  absl::StatusOr<Event> event = Understand(topic, payload);
  if (event.ok()) {
    ++counters_.accepted;
    if (auto* status = std::get_if<StatusEvent>(&*event)) status->retained = retained;
  } else {
    ++counters_.rejected[static_cast<size_t>(ReasonOf(event.status()))];
  }
  return event;
}

absl::StatusOr<Event> Ingest::Understand(absl::string_view topic, absl::string_view payload) {
  if (const auto gateway = ParseGatewayStateTopic(topic)) return GatewayStateEvent{*gateway};  // of any size
  RETURN_IF_ERROR(CheckSize(payload));
  const std::optional<ParsedDeviceTopic> parsed = ParseDeviceTopic(topic);
  if (!parsed) return UnderstandCan(topic, payload);
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
    case DeviceTopic::kEvent:
      RETURN_IF_ERROR(DecodeAndCheck(payload, event_batch_));
      return EventBatchEvent{parsed->device, &event_batch_};
    case DeviceTopic::kTelemetry:
      RETURN_IF_ERROR(DecodeAndCheck(payload, telemetry_batch_));
      return TelemetryEvent{parsed->device, &telemetry_batch_};
    case DeviceTopic::kLedger:
      RETURN_IF_ERROR(DecodeAndCheck(payload, ledger_report_));
      return LedgerEvent{parsed->device, &ledger_report_};
  }
  return absl::InternalError("unreachable");
}

absl::StatusOr<Event> Ingest::UnderstandCan(absl::string_view topic, absl::string_view payload) {
  const std::optional<ParsedCanTopic> parsed = ParseCanRxTopic(topic);
  if (!parsed) return absl::NotFoundError(absl::StrCat("topic ", absl::CHexEscape(topic.substr(0, 100))));
  RETURN_IF_ERROR(DecodeAndCheck(payload, can_batch_));
  return CanBatchEvent{parsed->device, parsed->bus, &can_batch_, payload};
}

}  // namespace fleet::server
