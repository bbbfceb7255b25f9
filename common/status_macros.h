// Short forms for passing a Status on, and the check for broken invariants.
#pragma once

#include <cstdlib>
#include <iostream>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// RETURN_IF_ERROR(store.Commit(batch));
#define RETURN_IF_ERROR(expr)                                            \
  do {                                                                   \
    if (absl::Status returned = (expr); !returned.ok()) return returned; \
  } while (false)

#define FLEET_CONCAT_(a, b) a##b
#define FLEET_CONCAT(a, b) FLEET_CONCAT_(a, b)

// ASSIGN_OR_RETURN(DeviceId id, DeviceId::Parse(text));
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_(FLEET_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                      \
  if (!tmp.ok()) return tmp.status();     \
  lhs = *std::move(tmp)

namespace fleet {

// Collects the reason of a failed check, prints it and aborts: systemd restarts us, a broken invariant is not survived.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* expr) {
    std::cerr << file << ":" << line << ": check failed: " << expr << " ";
  }
  ~CheckFailure() {
    std::cerr << std::endl;
    std::abort();
  }
  std::ostream& stream() { return std::cerr; }
};

}  // namespace fleet

// FLEET_CHECK(index < size) << "device index " << index;
#define FLEET_CHECK(expr) \
  if (expr) {             \
  } else                  \
    ::fleet::CheckFailure(__FILE__, __LINE__, #expr).stream()
