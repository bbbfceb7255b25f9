// Small messages go out at once.
#pragma once

#include <cstdint>

namespace fleet {

// Sets TCP_NODELAY on every TCP socket of this process that is connected to `peer_port` and has it not. Paho C 1.3
// neither sets it nor gives its socket away (paho.mqtt.c issue 530, mended in 1.3.14), and with it unset a command
// waits 40 ms behind the telemetry before it: Nagle's algorithm meets delayed acknowledgement. Costs a look at each
// open file descriptor. Any thread.
void SetNoDelayTowards(uint16_t peer_port);

}  // namespace fleet
