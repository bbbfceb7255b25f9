#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "tools/fleetctl/words.h"

namespace fleet {
namespace {

constexpr uint32_t kMaxListed = 1'000'000;
constexpr int kMaxAtOnce = 200;

struct Point {
  int32_t x_mm = 0;
  int32_t y_mm = 0;
};

absl::StatusOr<Point> ParsePoint(absl::string_view what, absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  Point point;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &point.x_mm) && absl::SimpleAtoi(parts[1], &point.y_mm)) {
    return point;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " wants X,Y in whole millimetres, such as -100,20; got '", text, "'"));
}

absl::StatusOr<uint32_t> ParseEntity(absl::string_view what, const std::string& text) {
  ASSIGN_OR_RETURN(const int64_t id, ParseWhole(what, text, 1, std::numeric_limits<uint32_t>::max()));
  return static_cast<uint32_t>(id);
}

absl::StatusOr<int32_t> ParseSpeed(absl::string_view what, const std::string& text) {
  ASSIGN_OR_RETURN(const int64_t speed, ParseWhole(what, text, 0, std::numeric_limits<int32_t>::max()));
  return static_cast<int32_t>(speed);
}

std::string OrElse(const std::string& text, const std::string& otherwise) {
  return text.empty() ? otherwise : text;
}

// An entity that holds stays at --from, so --to and the speeds may be left out.
absl::StatusOr<v1::SegmentRequest> MakeSegment(const Words& words, const std::string& entity_text) {
  static const std::vector<std::string> kTypes = {"line", "arc_left", "arc_right", "hold"};
  if (std::find(kTypes.begin(), kTypes.end(), words.type) == kTypes.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--type is one of ", absl::StrJoin(kTypes, ", "), "; got '", words.type, "'"));
  }
  if (words.mode != "replace" && words.mode != "append") {
    return absl::InvalidArgumentError(absl::StrCat("--mode is replace or append; got '", words.mode, "'"));
  }
  const bool hold = words.type == "hold";
  v1::SegmentRequest request;
  ASSIGN_OR_RETURN(const uint32_t entity, ParseEntity("ENTITY", entity_text));
  ASSIGN_OR_RETURN(const Point from, ParsePoint("--from", words.from));
  ASSIGN_OR_RETURN(const Point to, ParsePoint("--to", hold ? OrElse(words.to, words.from) : words.to));
  ASSIGN_OR_RETURN(const int32_t v0, ParseSpeed("--v0", hold ? OrElse(words.v0, "0") : words.v0));
  ASSIGN_OR_RETURN(const int32_t v1, ParseSpeed("--v1", hold ? OrElse(words.v1, "0") : words.v1));
  ASSIGN_OR_RETURN(const absl::Duration ttl, ParsePositive("--ttl", words.ttl, absl::Hours(24)));
  request.set_entity_id(entity);
  request.set_from_x_mm(from.x_mm);
  request.set_from_y_mm(from.y_mm);
  request.set_to_x_mm(to.x_mm);
  request.set_to_y_mm(to.y_mm);
  request.set_v0_mm_s(v0);
  request.set_v1_mm_s(v1);
  request.set_type(words.type);
  request.set_ttl_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(ttl)));
  if (words.mode != "replace") request.set_mode(words.mode);
  request.set_queue(words.queue);
  return request;
}

absl::StatusOr<std::string> ParseCommandId(const std::string& text) {
  ASSIGN_OR_RETURN(const int64_t id, ParseWhole("ID", text, 1, std::numeric_limits<int64_t>::max()));
  return absl::StrCat(id);
}

absl::StatusOr<uint32_t> ParseLimit(const Words& words) {
  ASSIGN_OR_RETURN(const int64_t limit, ParseWhole("--limit", OrElse(words.limit, "20"), 1, kMaxListed));
  return static_cast<uint32_t>(limit);
}

// Each once, in the order in which they were named.
absl::StatusOr<std::vector<std::string>> ParseDevices(const std::string& text) {
  std::vector<std::string> devices;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(text, ',', absl::SkipEmpty()))) {
    ASSIGN_OR_RETURN(std::string device, CheckDevice(part));
    if (std::find(devices.begin(), devices.end(), device) == devices.end()) devices.push_back(std::move(device));
  }
  if (!devices.empty()) return devices;
  return absl::InvalidArgumentError("--devices wants device ids with commas between, such as pi-1,pi-2");
}

absl::StatusOr<Verb> MakeGroup(const Words& words) {
  // A word that stands alone was taken for the device.
  if (words.device.empty() || !words.entity.empty()) {
    return absl::InvalidArgumentError("with --all, --online or --devices the only word is ENTITY");
  }
  GroupVerb verb{.of = words.all ? GroupVerb::Of::kAll : GroupVerb::Of::kOnline, .devices = {}, .request = {}};
  if (!words.devices.empty()) {
    verb.of = GroupVerb::Of::kNamed;
    ASSIGN_OR_RETURN(verb.devices, ParseDevices(words.devices));
  }
  ASSIGN_OR_RETURN(const int64_t at_once, ParseWhole("--at-once", OrElse(words.at_once, "10"), 1, kMaxAtOnce));
  verb.at_once = static_cast<int>(at_once);
  ASSIGN_OR_RETURN(verb.request, MakeSegment(words, words.device));
  return verb;
}

absl::StatusOr<Verb> MakeSegmentVerb(const Words& words) {
  const int groups = (words.all ? 1 : 0) + (words.online ? 1 : 0) + (words.devices.empty() ? 0 : 1);
  if (groups > 1) return absl::InvalidArgumentError("--all, --online and --devices exclude each other");
  if (groups == 1) return MakeGroup(words);
  if (words.entity.empty()) {
    return absl::InvalidArgumentError("segment wants DEVICE ENTITY, or ENTITY with --all, --online or --devices");
  }
  if (!words.at_once.empty()) {
    return absl::InvalidArgumentError("--at-once is for --all, --online and --devices");
  }
  ASSIGN_OR_RETURN(std::string device, CheckDevice(words.device));
  ASSIGN_OR_RETURN(v1::SegmentRequest request, MakeSegment(words, words.entity));
  return SegmentVerb{std::move(device), std::move(request), words.wait};
}

absl::StatusOr<Verb> MakeCommand(const Words& words) {
  if (!words.command.empty() && !words.reconcile.empty()) {
    return absl::InvalidArgumentError("command takes one ID");
  }
  ASSIGN_OR_RETURN(std::string id, ParseCommandId(OrElse(words.command, words.reconcile)));
  if (!words.reconcile.empty()) return ReconcileVerb{std::move(id)};
  return CommandVerb{std::move(id), words.wait};
}

absl::StatusOr<Verb> MakeCancel(const Words& words) {
  if (words.command.empty() == words.device.empty()) {
    return absl::InvalidArgumentError("cancel wants either the ID of one command or --device DEVICE");
  }
  CancelVerb verb{.command = "", .device = "", .wait = words.wait};
  ASSIGN_OR_RETURN(verb.device, MaybeDevice(words.device));
  if (!words.command.empty()) {
    if (!words.entity.empty()) return absl::InvalidArgumentError("--entity goes with --device, not with an ID");
    ASSIGN_OR_RETURN(verb.command, ParseCommandId(words.command));
  }
  if (!words.entity.empty()) {
    ASSIGN_OR_RETURN(verb.entity, ParseEntity("--entity", words.entity));
  }
  return verb;
}

absl::StatusOr<Verb> MakeStop(const Words& words) {
  // Never guess that all are meant.
  if (words.all == !words.device.empty()) return absl::InvalidArgumentError("stop wants either DEVICE or --all");
  ASSIGN_OR_RETURN(std::string device, MaybeDevice(words.device));
  return StopVerb{std::move(device)};
}

absl::StatusOr<Verb> MakeHistory(const Words& words) {
  ASSIGN_OR_RETURN(std::string device, CheckDevice(words.device));
  const bool any_time = words.liveness && words.since.empty();
  absl::Duration since = absl::InfiniteDuration();
  if (!any_time) {
    ASSIGN_OR_RETURN(since, ParsePositive("--since", OrElse(words.since, "10m"), kLongAgo));
  }
  if (words.liveness) {
    if (!words.entity.empty()) return absl::InvalidArgumentError("--liveness is of the device; leave ENTITY out");
    ASSIGN_OR_RETURN(const uint32_t limit, ParseLimit(words));
    return LivenessVerb{std::move(device), since, limit};
  }
  if (words.entity.empty()) return absl::InvalidArgumentError("history wants DEVICE ENTITY, or DEVICE --liveness");
  if (!words.limit.empty()) return absl::InvalidArgumentError("--limit goes with --liveness; here --since bounds");
  ASSIGN_OR_RETURN(const uint32_t entity, ParseEntity("ENTITY", words.entity));
  return HistoryVerb{std::move(device), entity, since};
}

absl::StatusOr<Verb> MakeCommands(const Words& words) {
  ASSIGN_OR_RETURN(std::string device, MaybeDevice(words.device));
  ASSIGN_OR_RETURN(const uint32_t limit, ParseLimit(words));
  return CommandsVerb{std::move(device), limit};
}

absl::StatusOr<Verb> MakeEvents(const Words& words) {
  ASSIGN_OR_RETURN(std::string device, MaybeDevice(words.device));
  ASSIGN_OR_RETURN(const uint32_t limit, ParseLimit(words));
  return EventsVerb{std::move(device), limit};
}

absl::StatusOr<Verb> MakeQuarantine(const Words& words) {
  ASSIGN_OR_RETURN(const uint32_t limit, ParseLimit(words));
  return QuarantineVerb{limit, words.raw};
}

absl::StatusOr<Verb> MakeCompletion(const Words& words) {
  if (words.shell == "bash") return CompletionVerb{};
  return absl::InvalidArgumentError(absl::StrCat("completion is there for bash only; got '", words.shell, "'"));
}

// A verb that takes a device and nothing else that can be wrong.
template <typename VerbT>
absl::StatusOr<Verb> MakeOfDevice(const Words& words) {
  ASSIGN_OR_RETURN(std::string device, MaybeDevice(words.device));
  return VerbT{std::move(device)};
}

}  // namespace

absl::StatusOr<Verb> MakeVerb(const std::string& name, const Words& words) {
  using Maker = absl::StatusOr<Verb> (*)(const Words&);
  static const std::map<std::string, Maker> kMakers = {
      {"status", [](const Words& w) -> absl::StatusOr<Verb> { return StatusVerb{w.watch}; }},
      {"devices", [](const Words&) -> absl::StatusOr<Verb> { return DevicesVerb{}; }},
      {"__devices", [](const Words&) -> absl::StatusOr<Verb> { return DeviceIdsVerb{}; }},
      {"device", MakeOfDevice<DeviceVerb>},
      {"watch", MakeOfDevice<WatchVerb>},
      {"ledger", MakeOfDevice<LedgerVerb>},
      {"segment", MakeSegmentVerb},
      {"commands", MakeCommands},
      {"command", MakeCommand},
      {"command reconcile", MakeCommand},
      {"cancel", MakeCancel},
      {"stop", MakeStop},
      {"history", MakeHistory},
      {"events", MakeEvents},
      {"quarantine", MakeQuarantine},
      {"telemetry", MakeTelemetry},
      {"dtc", MakeDtc},
      {"dtc clear", MakeClearDtcs},
      {"can dump", MakeCanDump},
      {"can send", MakeCanSend},
      {"can bridge", MakeCanBridge},
      {"modbus read", MakeModbusRead},
      {"modbus write", MakeModbusWrite},
      {"completion", MakeCompletion},
  };
  const auto found = kMakers.find(name);
  FLEET_CHECK(found != kMakers.end()) << "verb " << name << " has options and no maker";
  return found->second(words);
}

}  // namespace fleet
