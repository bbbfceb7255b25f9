// Who asks, for the audit of what is done to a vehicle.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace fleet {

// "ann@desk": who runs this process, on which host.
std::string Asker();
// At most 64 bytes of printable ASCII without blanks, which is what the server takes: others become '?'.
std::string AskerOf(absl::string_view user, absl::string_view host);

}  // namespace fleet
