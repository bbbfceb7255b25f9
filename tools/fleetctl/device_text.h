// What several verbs say of a device.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// All of them, in the server's order.
absl::StatusOr<std::vector<v1::DeviceView>> FetchDevices(Client& client);

std::string LastSeen(const v1::DeviceView& device, const Here& here);  // "0.3s ago", "never"
std::string Skew(const v1::DeviceView& device);                        // "+12 ms", "-" when it was never heard
std::string EntityIds(const v1::DeviceView& device);                   // "1,2,3", or of many "1,2,.. (31)"
// "since 14:03:22 (3m ago), lost: the broker's will"
std::string Since(const v1::DeviceView& device, const Here& here);
// "CLONE, FAIL-SAFE"; empty when nothing is wrong.
std::string AlarmWords(const v1::DeviceView& device);

}  // namespace fleet
