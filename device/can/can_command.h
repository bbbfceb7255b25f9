// A command for a CAN bus that passed the command gate.
#pragma once

#include <variant>

#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet::device {

struct CanCommand {
  CommandId command{};
  MonoTime expires_at;  // never begun after it
  std::variant<v1::CanSend, v1::CanTap, v1::ClearDtcs> body;
};

}  // namespace fleet::device
