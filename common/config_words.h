// How what is wrong with a configuration is said: "WHERE: what is wrong".
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/topics.h"

namespace fleet {

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

inline absl::Status At(absl::string_view where, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
}
template <typename T>
absl::StatusOr<T> At(absl::string_view where, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return At(where, value.status());
}

// Whether a signal may have this name.
inline absl::Status CheckSignalTopic(absl::string_view topic) {
  if (!IsSignalName(topic)) {
    return Wrong("two or more parts of A-Z a-z 0-9 . _ - with / between them, at most ", kMaxSignalBytes, " bytes");
  }
  return IsReservedSignal(topic) ? Wrong("the device itself publishes there") : absl::OkStatus();
}

}  // namespace fleet
