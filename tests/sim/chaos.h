// A small simulated world in which everything goes wrong while commands are given and records are made, then heals, and
// is audited. Everything in it follows from the seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace fleet {

struct ChaosOptions {
  uint64_t seed = 1;
  bool verbose = false;                         // says what happens
  std::function<void(WorldOptions&)> sabotage;  // for tests of the tests
};

struct ChaosOutcome {
  uint64_t hash = 0;
  std::vector<std::string> complaints;
  std::map<std::string, uint64_t> counts;  // of what happened, so that somebody notices when it no longer does
};

ChaosOutcome RunChaos(const ChaosOptions& options);

}  // namespace fleet
