// The bus that an interface text of the configuration names.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/can/can_bus.h"

namespace fleet {

struct CanBusSpec {
  // socketcan:can0 | slcan:/dev/ttyACM0 | replay:FILE | slcan-pty | slcan-pty:LINK
  std::string interface;
  uint32_t bitrate = 500'000;  // of slcan
  bool listen_only = false;    // Write is refused
  double replay_speed = 1;     // 0: as fast as it is read
  bool replay_loop = false;
};

// Hardware that is not there is a state of the bus and no error here. kInvalidArgument: no such kind, nothing after it,
// a bit rate that slcan has not; kNotFound: the file to replay does not exist. Others: the pty or its link cannot be
// made.
absl::StatusOr<std::unique_ptr<CanBus>> OpenCanBus(const CanBusSpec& spec);

}  // namespace fleet
