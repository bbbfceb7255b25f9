// A tap of a bus in a vehicle, from its start to its end, for the verbs that dump and bridge.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/notes.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// /api/v1/devices/van-7/can/can0
std::string BusPath(absl::string_view device, absl::string_view bus);

// The command, once the tap runs. An error says why it does not.
absl::StatusOr<v1::CommandView> StartTap(Session& session, absl::string_view bus_path, v1::CanTapRequest request);

// Gives `take` what the tap brings until its time is over, or takes it back on Ctrl-C; both are kDone. A server that
// restarts meanwhile is waited for as long as it keeps the tap for us. Says at the end how much came and what was lost,
// over all restarts. An error says why the tap ended otherwise.
absl::StatusOr<ExitCode> ReadTap(Session& session, const v1::CommandView& tap, Notes& notes,
                                 const std::function<void(const v1::CanTapEvent&)>& take);

}  // namespace fleet
