// A connection to a TCP server, in bounded time.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/interruption.h"
#include "common/name_lookup.h"

namespace fleet::device {

// A connected socket that does not block and sends at once. The addresses of the name are tried in turn, each with its
// share of what is left of `timeout`. kUnavailable: why not, for people; kCancelled: interrupted.
absl::StatusOr<int> DialTcp(NameLookup& name, absl::Duration timeout, const Interruption& interruption);

}  // namespace fleet::device
