// Which life of the agent this is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/data_dir.h"

namespace fleet::device {

// The start counter, kept in the file `epoch` of the data directory; each life adds one before anything is sent, so
// that the server can tell a late word of an older life from today's. Holds the directory, which is one agent's only.
//
// On a full card the number is overwritten in its place, for two lives of one number would number their records alike.
// A card that has become read-only must not keep a vehicle silent: then a warning is logged and this life has
// the number that it would have had, as the next one will; `started_unix_ms` in Status still tells them apart. A
// damaged file starts again at 1, with a warning.
class Life {
 public:
  // kAlreadyExists: another agent uses `dir`; the message says what to do.
  static absl::StatusOr<Life> Begin(const std::string& dir);

  uint32_t epoch() const { return epoch_; }
  bool is_kept() const { return is_kept_; }  // false: the next life will have the same number

 private:
  explicit Life(std::optional<DataDir> dir) : dir_(std::move(dir)) {}

  std::optional<DataDir> dir_;  // absent: not writable
  uint32_t epoch_ = 1;
  bool is_kept_ = false;
};

}  // namespace fleet::device
