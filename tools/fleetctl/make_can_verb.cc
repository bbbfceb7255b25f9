#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/can/can_filter.h"
#include "common/can/candump.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "tools/fleetctl/words.h"

namespace fleet {
namespace {

// As the server has them.
constexpr size_t kMaxFilters = 16;
constexpr size_t kMaxFrames = 64;
constexpr absl::Duration kMaxTap = absl::Hours(24);

constexpr size_t kMaxInterfaceBytes = 15;  // IFNAMSIZ - 1

absl::StatusOr<std::string> CheckBus(const std::string& text) {
  if (IsBusName(text)) return text;
  return absl::InvalidArgumentError(
      absl::StrCat("BUS wants the name of a bus, 1 to ", kMaxBusBytes, " of A-Z a-z 0-9 . _ -; got '", text, "'"));
}

absl::StatusOr<v1::CanTapRequest> MakeTap(const Words& words, const std::string& default_for) {
  v1::CanTapRequest tap;
  const std::string& for_time = words.for_time.empty() ? default_for : words.for_time;
  ASSIGN_OR_RETURN(const absl::Duration duration, ParsePositive("--for", for_time, kMaxTap));
  tap.set_for_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(duration)));
  if (words.filters.size() > kMaxFilters) {
    return absl::InvalidArgumentError(
        absl::StrCat("--filter may be said ", kMaxFilters, " times; one filter with a ", "mask passes many ids"));
  }
  for (const std::string& text : words.filters) {
    const absl::StatusOr<v1::CanFilter> filter = ParseCanFilter(text);
    if (!filter.ok()) return absl::InvalidArgumentError(absl::StrCat("--filter ", filter.status().message()));
    tap.add_filters(CanFilterText(*filter));
  }
  return tap;
}

// As candump writes it. `number`: which of them, from 1.
absl::StatusOr<std::string> ParseFrame(const std::string& text, int number) {
  const absl::StatusOr<CanFrame> frame = ParseCanFrameText(text);
  absl::string_view why = frame.status().message();
  if (frame.ok() && frame->is(kCanError)) why = "an error frame cannot be sent";
  if (!why.empty()) return absl::InvalidArgumentError(absl::StrCat("FRAME ", number, " '", text, "': ", why));
  std::string out;
  AppendCanFrameText(*frame, out);
  return out;
}

// vcan0, socketcan:vcan0, slcan:/dev/ttyACM0, slcan-pty, slcan-pty:LINK
absl::StatusOr<std::string> ParseTo(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  const auto& [kind, rest] = parts;
  const bool has_kind = absl::StrContains(text, ':');
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("--to wants an interface such as vcan0, slcan:DEVICE, slcan-pty or slcan-pty:LINK; got '", text, "'",
                   DidYouMean(kind, has_kind ? std::vector<std::string>{"socketcan", "slcan", "slcan-pty"}
                                             : std::vector<std::string>{"slcan-pty"})));
  if (kind == "slcan-pty" || (kind == "slcan" && !rest.empty())) return text;
  if (has_kind && kind != "socketcan") return wrong;
  const std::string& name = has_kind ? rest : kind;
  const bool good = !name.empty() && name.size() <= kMaxInterfaceBytes && !absl::StrContains(name, '/') &&
                    (has_kind || DidYouMean(name, {"slcan-pty"}).empty());
  if (!good) return wrong;
  return absl::StrCat("socketcan:", name);
}

}  // namespace

absl::StatusOr<Verb> MakeTelemetry(const Words& words) {
  TelemetryVerb verb{.device = "", .signals = words.signals, .since = absl::ZeroDuration(), .follow = words.follow};
  ASSIGN_OR_RETURN(verb.device, CheckDevice(words.device));
  for (const std::string& signal : words.signals) {
    if (IsSignalName(signal)) continue;
    return absl::InvalidArgumentError(absl::StrCat("SIGNAL wants a name such as engine/rpm; got '", signal, "'"));
  }
  if (!words.since.empty()) {
    ASSIGN_OR_RETURN(verb.since, ParsePositive("--since", words.since, kLongAgo));
  }
  return verb;
}

absl::StatusOr<Verb> MakeDtc(const Words& words) {
  ASSIGN_OR_RETURN(std::string device, MaybeDevice(words.device));
  return DtcVerb{std::move(device), words.all};
}

absl::StatusOr<Verb> MakeClearDtcs(const Words& words) {
  // A word too many was taken for the DEVICE of dtc.
  if (!words.device.empty() || words.all) return absl::InvalidArgumentError("dtc clear wants DEVICE BUS and no more");
  ASSIGN_OR_RETURN(std::string device, CheckDevice(words.clear_device));
  ASSIGN_OR_RETURN(std::string bus, CheckBus(words.bus));
  return ClearDtcsVerb{std::move(device), std::move(bus)};
}

absl::StatusOr<Verb> MakeCanDump(const Words& words) {
  CanDumpVerb verb{.device = "", .bus = "", .tap = {}, .log = words.log};
  ASSIGN_OR_RETURN(verb.device, CheckDevice(words.device));
  ASSIGN_OR_RETURN(verb.bus, CheckBus(words.bus));
  ASSIGN_OR_RETURN(verb.tap, MakeTap(words, "1m"));
  verb.tap.set_sent_too(true);  // they are on the bus like all others
  return verb;
}

absl::StatusOr<Verb> MakeCanSend(const Words& words) {
  CanSendVerb verb;
  ASSIGN_OR_RETURN(verb.device, CheckDevice(words.device));
  ASSIGN_OR_RETURN(verb.bus, CheckBus(words.bus));
  if (words.frames.size() > kMaxFrames) {
    return absl::InvalidArgumentError(
        absl::StrCat("at most ", kMaxFrames, " frames are sent at once; got ", words.frames.size()));
  }
  for (const std::string& text : words.frames) {
    ASSIGN_OR_RETURN(std::string frame, ParseFrame(text, verb.request.frames_size() + 1));
    verb.request.add_frames(std::move(frame));
  }
  return verb;
}

absl::StatusOr<Verb> MakeCanBridge(const Words& words) {
  CanBridgeVerb verb;
  ASSIGN_OR_RETURN(verb.device, CheckDevice(words.device));
  ASSIGN_OR_RETURN(verb.bus, CheckBus(words.bus));
  ASSIGN_OR_RETURN(verb.to, ParseTo(words.to));
  ASSIGN_OR_RETURN(verb.tap, MakeTap(words, "10m"));
  return verb;
}

}  // namespace fleet
