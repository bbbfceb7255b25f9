// The table `dtc`: what the newest event of each trouble code says of it. The writer's thread only, within its
// transactions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "common/sqlite.h"
#include "server/rows.h"

namespace fleet::server {

class DtcTable {
 public:
  static constexpr int64_t kMaxCodes = 1024;  // of a device; past it the cleared ones are forgotten

  static absl::StatusOr<std::unique_ptr<DtcTable>> Open(Database& database);

  // Does what the event says of a code, if it says anything of one and nothing newer is known. Within a life of the
  // agent events are ordered by their number. Of two lives the later is newer, or the one whose clock is ahead: a
  // device that lost its disk counts its lives anew. False: kMaxCodes of the device are active already, so this one is
  // not kept; its event is.
  absl::StatusOr<bool> Follow(const EventRow& row);

 private:
  struct Known;
  DtcTable() = default;
  absl::StatusOr<std::optional<Known>> Find(const EventRow& row);
  absl::Status Write(const EventRow& row, const std::optional<Known>& known);
  // What earlier lives knew of the controller and this one has not told again.
  absl::Status ClearOlder(const EventRow& row);
  absl::StatusOr<bool> MakeRoom(int64_t device_row);  // false: there is none
  absl::StatusOr<bool> HasRoom(int64_t device_row);

  Statement find_;
  Statement write_;
  Statement count_;
  Statement forget_;
  Statement clear_;
};

}  // namespace fleet::server
