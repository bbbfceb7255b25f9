// Who may reach the device's own API.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "fleet/v1/config.pb.h"

namespace fleet::device {

struct LocalAccess {
  static constexpr size_t kMinTokenBytes = 16;
  static constexpr size_t kMaxTokenBytes = 256;

  std::string listen;  // ADDRESS:PORT; empty: there is no API
  std::string token;   // empty: whoever reaches it may ask
};

// Reads the token's file. A port alone is on the loopback address; any other address needs a token. kInvalidArgument:
// neither PORT nor ADDRESS:PORT, no token where one is needed, or one that is none.
absl::StatusOr<LocalAccess> ReadLocalAccess(const v1::LocalApiConfig& config);

}  // namespace fleet::device
