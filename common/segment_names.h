// The words for segment types that people, JSON and configuration use.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "fleet/v1/common.pb.h"

namespace fleet {

absl::string_view Name(v1::SegmentType type);                             // "line", ...; "unspecified" for what is none
std::optional<v1::SegmentType> ParseSegmentType(absl::string_view name);  // nullopt: not one of them
std::string SegmentTypeNames();                                           // "line, arc_left, arc_right or hold"

}  // namespace fleet
