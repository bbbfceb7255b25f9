// Reading bytes from the network in the order size, parse, version. Meaning is the reader's.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fleet {

inline constexpr size_t kMaxPayloadBytes = 64 * 1024;
inline constexpr uint32_t kProtocolVersion = 1;  // on the wire as 0, absent: docs/protocol.md section 2

// kOutOfRange: more than kMaxPayloadBytes.
inline absl::Status CheckSize(absl::string_view payload) {
  if (payload.size() <= kMaxPayloadBytes) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("payload of ", payload.size(), " bytes is over ", kMaxPayloadBytes));
}

// Parses `payload` into `out`, whose memory is used again. kOutOfRange: too large; kDataLoss: not this message;
// kUnimplemented: a protocol version that we do not speak.
template <typename MessageT>
absl::Status Decode(absl::string_view payload, MessageT& out) {
  if (absl::Status status = CheckSize(payload); !status.ok()) return status;
  if (!out.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::DataLossError(absl::StrCat(payload.size(), " bytes are not a ", MessageT::descriptor()->name()));
  }
  if (out.protocol() > kProtocolVersion) {
    return absl::UnimplementedError(absl::StrCat("protocol version ", out.protocol(), ", we speak ", kProtocolVersion));
  }
  return absl::OkStatus();
}

}  // namespace fleet
