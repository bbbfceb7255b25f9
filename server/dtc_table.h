// The table `dtc`: what the newest event of each trouble code says of it, and when each controller was scanned last.
// The writer's thread only, within its transactions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sqlite.h"
#include "server/rows.h"

namespace fleet::server {

class DtcTable {
 public:
  static constexpr int64_t kMaxCodes = 1024;  // of a device, and scans; past it the cleared ones are forgotten

  static absl::StatusOr<std::unique_ptr<DtcTable>> Open(Database& database);

  // Does what the event says of a code, if it says anything of one and nothing newer is known. Events are ordered by
  // the life of the agent, then by their number; no clock is asked. A code of a life before the last scan of its
  // controller is cleared, also when it comes after it. False: kMaxCodes of the device are taken by what may not be
  // forgotten, so this one is not kept; its event is.
  absl::StatusOr<bool> Follow(const EventRow& row);
  // The device counts its lives anew: whatever it says from here on is newer than all that is known.
  absl::Status DiskLost(int64_t device_row);

 private:
  struct Known;
  DtcTable() = default;
  absl::StatusOr<std::optional<Known>> Find(const EventRow& row, absl::string_view code);
  absl::Status Write(const EventRow& row, const std::optional<Known>& known);
  // What lives before that of the scan knew of the controller, and it has not told again.
  absl::Status ClearOlder(const EventRow& row, const Known& scan);
  absl::StatusOr<bool> MakeRoom(int64_t device_row);  // false: there is none
  absl::StatusOr<bool> HasRoom(int64_t device_row);

  Statement find_;
  Statement write_;
  Statement count_;
  Statement forget_;
  Statement clear_;
  Statement age_;
};

}  // namespace fleet::server
