// Which boot of the machine this is: within one boot the monotonic clock goes on from process to process.
#pragma once

#include <cstdint>
#include <string>

#include "common/clock.h"

namespace fleet::server {

struct Boot {
  int64_t id = 0;  // 0: not known, so never the same as another
  Now now;         // of the start of this process
};

// 63 bits of the text in the file; 0 when it cannot be read.
int64_t ReadBootId(const std::string& path = "/proc/sys/kernel/random/boot_id");

}  // namespace fleet::server
