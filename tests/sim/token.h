// What the load tells the devices' streams: each record carries a number of its own, so that it is known again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "device/sample.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet {

inline v1::Event EventOf(uint64_t token) {
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_REPORTED);
  event.set_name(absl::StrCat(token));
  return event;
}
inline device::Sample SampleOf(uint64_t token) {
  return {.signal = absl::StrCat("sim/", token % 3), .value = static_cast<double>(token)};
}

// nullopt: the agent told it by itself.
inline std::optional<uint64_t> TokenOf(const v1::Event& event) {
  uint64_t token = 0;
  if (event.kind() != v1::EVENT_KIND_REPORTED || !absl::SimpleAtoi(event.name(), &token)) return std::nullopt;
  return token;
}
inline uint64_t TokenOf(double value) {
  return static_cast<uint64_t>(value);
}

}  // namespace fleet
