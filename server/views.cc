#include "server/views.h"

#include <array>
#include <type_traits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/segment_names.h"
#include "server/can_views.h"
#include "server/modbus_views.h"

namespace fleet::server {
namespace {

using server::Summary;  // of orders to buses

double Millis(absl::Duration d) {
  return static_cast<double>(absl::ToInt64Milliseconds(d));
}

void AddLoss(const SequenceTracker& tracker, v1::LossView& loss) {
  const SequenceTracker::Saved& saved = tracker.saved();
  loss.set_expected(loss.expected() + static_cast<double>(saved.expected));
  loss.set_stored(loss.stored() + static_cast<double>(saved.stored));
  loss.set_missing(loss.missing() + static_cast<double>(tracker.missing()));
  loss.set_duplicate(loss.duplicate() + static_cast<double>(saved.duplicate));
  loss.set_reordered(loss.reordered() + static_cast<double>(saved.reordered));
}

v1::EntityView ViewOf(const Entity& entity, LivenessState state, Now now) {
  v1::EntityView view;
  view.set_entity_id(Number(entity.latest.id));
  view.set_x_mm(entity.latest.x_mm);
  view.set_y_mm(entity.latest.y_mm);
  view.set_angle_mdeg(entity.latest.angle_mdeg);
  view.set_vx_mm_s(entity.latest.vx_mm_s);
  view.set_vy_mm_s(entity.latest.vy_mm_s);
  view.set_age_ms(Millis(entity.AgeAt(now)));
  view.set_state(std::string(Name(state)));
  return view;
}

std::string Summary(const v1::Cancel& cancel) {
  switch (cancel.target_case()) {
    case v1::Cancel::kCommandId:
      return absl::StrCat("cancel command ", cancel.command_id());
    case v1::Cancel::kEntityId:
      return absl::StrCat("cancel entity ", cancel.entity_id());
    case v1::Cancel::kDevice:
      return "cancel everything";
    case v1::Cancel::kStop:
      return "stop";
    case v1::Cancel::TARGET_NOT_SET:
      break;
  }
  return "cancel nothing";
}

std::string Summary(const v1::Segment& s) {
  if (s.type() == v1::SEGMENT_TYPE_HOLD) return absl::StrCat("hold at (", s.start_x_mm(), ",", s.start_y_mm(), ")");
  return absl::StrCat(fleet::Name(s.type()), " (", s.start_x_mm(), ",", s.start_y_mm(), ") to (", s.end_x_mm(), ",",
                      s.end_y_mm(), ") at ", s.start_speed_mm_s(), " to ", s.end_speed_mm_s(), " mm/s",
                      s.mode() == v1::SEGMENT_MODE_APPEND ? ", appended" : "");
}

// CommandView::kind of each alternative of CommandBody.
constexpr std::array<const char*, std::variant_size_v<CommandBody>> kKinds = {"segment", "cancel",     "can_send",
                                                                              "can_tap", "clear_dtcs", "modbus"};

template <typename BodyT>
void SetBody(const BodyT& body, v1::CommandView& view) {
  view.set_summary(Summary(body));
  if constexpr (std::is_same_v<BodyT, v1::Segment> || std::is_same_v<BodyT, v1::Cancel>) {
    view.set_entity_id(body.entity_id());
  } else {
    view.set_by(body.by());
  }
}

// Replace is the mode that costs no bytes.
std::optional<v1::SegmentMode> ModeOf(absl::string_view word) {
  if (word.empty() || word == "replace") return v1::SEGMENT_MODE_UNSPECIFIED;
  if (word == "append") return v1::SEGMENT_MODE_APPEND;
  return std::nullopt;
}

}  // namespace

v1::DeviceView ViewOf(const Device& device, const LivenessStatus& liveness, Now now) {
  v1::DeviceView view;
  view.set_id(device.id.str());
  view.set_state(std::string(Name(liveness.state)));
  view.set_reason(std::string(Name(liveness.reason)));
  view.set_epoch(device.epoch);
  if (device.heard) {
    view.set_last_heartbeat_ms_ago(Millis(now.mono - device.last_heartbeat));
    view.set_clock_skew_ms(static_cast<double>(device.clock_skew_ms));
  } else if (device.last_seen_unix_ms != 0) {
    view.set_last_heartbeat_ms_ago(static_cast<double>(std::max<int64_t>(0, now.unix_ms() - device.last_seen_unix_ms)));
  }
  for (const Entity& entity : device.entities) {
    *view.add_entities() = ViewOf(entity, device.StateOf(entity, liveness.state, now), now);
  }
  AddLoss(device.heartbeats, *view.mutable_loss());
  AddLoss(device.states, *view.mutable_loss());
  view.set_last_seen_unix_ms(static_cast<double>(device.last_seen_unix_ms));
  view.set_state_since_unix_ms(static_cast<double>(device.state_since_unix_ms));
  view.set_version(device.version);
  view.set_fail_safe(device.in_fail_safe());
  view.set_clone_alarm(device.clone_alarm);
  return view;
}

v1::LivenessView ViewOf(const LivenessRow& row, const Device& device) {
  v1::LivenessView view;
  view.set_device_id(device.id.str());
  view.set_state(std::string(Name(row.status.state)));
  view.set_reason(std::string(Name(row.status.reason)));
  view.set_at_unix_ms(static_cast<double>(row.at_unix_ms));
  return view;
}

v1::CommandView ViewOf(const CommandRow& row, const std::vector<CommandStepRow>& steps, absl::string_view device_id) {
  v1::CommandView view;
  view.set_command_id(absl::StrCat(Number(row.id)));
  view.set_device_id(std::string(device_id));
  view.set_kind(kKinds[row.body.index()]);
  view.set_issued_unix_ms(static_cast<double>(row.issued_unix_ms));
  view.set_ttl_ms(static_cast<double>(row.ttl_ms));
  std::visit([&view](const auto& body) { SetBody(body, view); }, row.body);
  for (const CommandStepRow& step : steps) {
    v1::CommandStepView& out = *view.add_steps();
    out.set_state(std::string(Name(step.state)));
    out.set_reason(step.reason);
    out.set_detail(step.detail);
    out.set_at_unix_ms(static_cast<double>(step.at_unix_ms));
    out.set_since_issue_ms(static_cast<double>(step.since_issue_ms));
  }
  if (!steps.empty()) {
    view.set_state(std::string(Name(steps.back().state)));
    view.set_reason(steps.back().reason);
  }
  return view;
}

absl::StatusOr<v1::Segment> SegmentOf(const v1::SegmentRequest& request) {
  const std::optional<v1::SegmentType> type = ParseSegmentType(request.type());
  if (!type) {
    return absl::InvalidArgumentError(absl::StrCat("type \"", request.type(), "\" is not ", SegmentTypeNames()));
  }
  const std::optional<v1::SegmentMode> mode = ModeOf(request.mode());
  if (!mode) {
    return absl::InvalidArgumentError(absl::StrCat("mode \"", request.mode(), "\" is not replace or append"));
  }
  v1::Segment segment;
  segment.set_mode(*mode);
  segment.set_entity_id(request.entity_id());
  segment.set_start_x_mm(request.from_x_mm());
  segment.set_start_y_mm(request.from_y_mm());
  segment.set_end_x_mm(request.to_x_mm());
  segment.set_end_y_mm(request.to_y_mm());
  segment.set_start_speed_mm_s(request.v0_mm_s());
  segment.set_end_speed_mm_s(request.v1_mm_s());
  segment.set_type(*type);
  return segment;
}

}  // namespace fleet::server
