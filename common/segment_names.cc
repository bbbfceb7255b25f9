#include "common/segment_names.h"

#include <array>

namespace fleet {
namespace {
constexpr std::array<absl::string_view, v1::SegmentType_ARRAYSIZE> kNames = {"unspecified", "line", "arc_left",
                                                                             "arc_right", "hold"};
}

absl::string_view Name(v1::SegmentType type) {
  return kNames[v1::SegmentType_IsValid(type) ? static_cast<size_t>(type) : 0];
}

std::optional<v1::SegmentType> ParseSegmentType(absl::string_view name) {
  for (size_t i = 1; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<v1::SegmentType>(i);
  }
  return std::nullopt;
}

std::string SegmentTypeNames() {
  return "line, arc_left, arc_right or hold";
}

}  // namespace fleet
