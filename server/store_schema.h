// The file of the database before it is used: is it ours, is it whole, is it up to date?
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/sqlite.h"

namespace fleet::server {

// As Store::Open says. Made when there is none; an older schema is brought up to date in one transaction,
// after which a large table is rewritten in steps; a start that is cut short is continued by the next.
absl::StatusOr<std::unique_ptr<Database>> OpenCurrent(const std::string& path);

// The first column of the first row, 0 when there is none.
absl::StatusOr<int64_t> QueryInt(Database& database, absl::string_view sql);

}  // namespace fleet::server
