#include "common/can/open_can_bus.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/can/replay_bus.h"
#include "common/can/slcan_bus.h"
#include "common/can/slcan_pty.h"
#include "common/can/socketcan_bus.h"
#include "common/nearest.h"

namespace fleet {

absl::StatusOr<std::unique_ptr<CanBus>> OpenCanBus(const CanBusSpec& spec) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(spec.interface, absl::MaxSplits(':', 1));
  const auto& [kind, rest] = parts;
  if (kind == "slcan-pty") return OpenSlcanPty({.link_path = rest, .listen_only = spec.listen_only});
  if (kind != "socketcan" && kind != "slcan" && kind != "replay") {
    return absl::InvalidArgumentError(
        absl::StrCat("no CAN interface is called \"", spec.interface,
                     "\"; there are socketcan:NAME, slcan:DEVICE, replay:FILE and slcan-pty",
                     DidYouMean(kind, {"socketcan", "slcan", "replay", "slcan-pty"})));
  }
  if (rest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("nothing comes after \"", kind, ":\"; examples are socketcan:can0, ",
                                                   "slcan:/dev/ttyACM0 and replay:drive.log"));
  }
  if (kind == "socketcan") return OpenSocketCanBus({.interface = rest, .listen_only = spec.listen_only});
  if (kind == "slcan") {
    return OpenSlcanBus({.path = rest, .bitrate = spec.bitrate, .listen_only = spec.listen_only});
  }
  return OpenReplayBus({.path = rest, .speed = spec.replay_speed, .loop = spec.replay_loop});
}

}  // namespace fleet
