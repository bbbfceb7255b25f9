// Which frames somebody wants: ids under masks, written as candump takes them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/can/can_frame.h"
#include "fleet/v1/common.pb.h"
#include "google/protobuf/repeated_field.h"

namespace fleet {

// "123:7FF", "18FEF100:1FFFFF00", "0:0" (all standard frames), "123" (this one). 8 digits are an extended id, fewer
// than 4 a standard one. kInvalidArgument.
absl::StatusOr<v1::CanFilter> ParseCanFilter(absl::string_view text);
// kInvalidArgument: id or mask are beyond the format.
absl::Status CheckCanFilter(const v1::CanFilter& filter);
std::string CanFilterText(const v1::CanFilter& filter);  // of a checked one, always with mask: "123:7FF"

// An error frame passes no filter.
bool Passes(const v1::CanFilter& filter, const CanFrame& frame);
// An empty list passes all frames, error frames too.
bool PassesAny(const google::protobuf::RepeatedPtrField<v1::CanFilter>& filters, const CanFrame& frame);

}  // namespace fleet
