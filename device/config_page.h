// GET /config of the device's own API.
#pragma once

#include <string>

#include "fleet/v1/config.pb.h"

namespace fleet::device {

// The configuration as it holds: JSON with the names of the keys. Files with secrets are named, their contents are not
// in it; of an address, user and password are left out.
std::string ConfigPage(v1::DeviceConfig config);

// "http://user:password@host" -> "http://host"; all else as it is.
std::string WithoutUser(const std::string& text);

}  // namespace fleet::device
