// One value of one signal.
#pragma once

#include <cstdint>
#include <string>

#include "common/topics.h"

namespace fleet::device {

struct Sample {
  std::string signal;      // see IsSignalName of common/topics.h
  double value = 0;        // NaN: the signal is invalid
  int64_t at_unix_ms = 0;  // 0: when it is taken
};

}  // namespace fleet::device
