// A pseudo terminal behind which we are the slcan adapter: python-can, slcand or SavvyCAN open its other end.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/can/polled_can_bus.h"

namespace fleet {

struct SlcanPtyOptions {
  std::string link_path;     // a symbolic link to the terminal is kept here; empty: none
  bool listen_only = false;  // nothing that we Write goes to the program
};

// Up while the program has opened the channel.
class SlcanPty : public PolledCanBus {
 public:
  virtual const std::string& path() const = 0;  // what the program opens, such as /dev/pts/3
};

// kAlreadyExists: link_path is there and no symbolic link. kUnavailable: it cannot be made, or there is no terminal
// left.
absl::StatusOr<std::unique_ptr<SlcanPty>> OpenSlcanPty(const SlcanPtyOptions& options);

}  // namespace fleet
