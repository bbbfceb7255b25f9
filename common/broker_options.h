// From the [broker] section of a configuration to what a link wants to know.
#pragma once

#include "absl/status/statusor.h"
#include "common/mqtt_link.h"
#include "fleet/v1/config.pb.h"

namespace fleet {

// Reads the password file. kInvalidArgument: the URL is none, or the file cannot be read or its first line is empty;
// the message names the key.
absl::StatusOr<LinkOptions> ToLinkOptions(const v1::BrokerConfig& broker);

}  // namespace fleet
