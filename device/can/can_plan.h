// The configuration of CAN, understood.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "device/can/bus_plan.h"
#include "fleet/v1/config.pb.h"

namespace fleet::device {

// The text of a DBC file; relative paths are resolved by whoever gives this.
using FileReader = std::function<absl::StatusOr<std::string>(absl::string_view path)>;

// kInvalidArgument: "WHERE: what is wrong", with the nearest name where one that does not exist was probably meant.
// Tables are counted from 1 and say whose they are: `can.signal 3 (engine/rpm): labels: ...`; what is wrong with the
// source of a signal comes without its key. Errors of `read` keep their code.
absl::StatusOr<CanPlan> MakeCanPlan(const v1::CanConfig& config, const FileReader& read);

}  // namespace fleet::device
