// Why a server could not be connected to, which the HTTP library does not tell.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace fleet {

// Tries once more, for a second at most, and says in a few words what is in the way: "connection refused",
// "Name or service not known", ... `host_and_port`: HOST:PORT, an IPv6 address in brackets.
std::string WhyNoConnection(absl::string_view host_and_port);

}  // namespace fleet
