// Turns a command into the bytes that its device obeys: serialised, signed with the device's key, addressed.
// Loop thread only, apart from Open.
#pragma once

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/ids.h"
#include "common/mqtt_link.h"
#include "common/signing.h"
#include "server/rows.h"

namespace fleet::server {

class Dispatcher {
 public:
  // Reads every <device id>.key of `key_dir`; empty: no keys. kNotFound: no such directory; kInvalidArgument: a file
  // holds no key. Keys are read once, at start.
  static absl::StatusOr<Dispatcher> Open(const std::string& key_dir);

  // Signed when a key of `device` is known, else unsigned.
  Publication Frame(const DeviceId& device, const CommandRow& command) const;
  size_t key_count() const { return keys_.size(); }

 private:
  Dispatcher() = default;
  absl::flat_hash_map<std::string, CommandKey> keys_;  // by device id
};

}  // namespace fleet::server
