// Part of a telemetry batch as a row of its own.
#pragma once

#include "fleet/v1/to_server.pb.h"
#include "server/number_set.h"
#include "server/rows.h"

namespace fleet::server {

// The samples with the numbers of `part`, which lies within the batch. Device and time of receipt are left to the
// caller. The device may say any time: those past the year 9999 are written as that.
TelemetryRow SliceTelemetry(const v1::TelemetryBatch& batch, NumberRange part);

}  // namespace fleet::server
