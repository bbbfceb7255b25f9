// DM1 of J1939-73: the trouble codes that are active in one controller, and its lamps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace fleet::device {

struct J1939Dtc {
  uint32_t spn = 0;   // 1 to 2^19 - 2
  uint8_t fmi = 0;    // 0 to 31: in what way it fails
  uint8_t count = 0;  // occurrences; 0: not told
};
bool operator==(const J1939Dtc& a, const J1939Dtc& b);

// "SPN 110 FMI 0"
std::string CodeText(const J1939Dtc& dtc);

struct Dm1 {
  bool mil = false;  // malfunction indicator: emissions
  bool red_stop = false;
  bool amber = false;
  bool protect = false;
  std::vector<J1939Dtc> codes;  // as they come, at most 445; empty: no fault
};

// `data`: a single frame or a whole message of the transport. kInvalidArgument: a length that no list of codes has.
// Places are read as in version 4 of the format; that a controller says otherwise (conversion method 1) leaves three
// older versions to choose from, the newest of which reads the same.
absl::StatusOr<Dm1> ParseDm1(std::span<const uint8_t> data);

}  // namespace fleet::device
