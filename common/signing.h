// Signatures of commands: HMAC-SHA-256 (RFC 2104) over the bytes as sent, cut to 16 bytes, one key per device.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fleet {

class CommandKey {
 public:
  static constexpr size_t kKeyBytes = 32;
  static constexpr size_t kTagBytes = 16;

  // `hex`: 64 hex digits, white space around them allowed. kInvalidArgument otherwise.
  static absl::StatusOr<CommandKey> FromHex(absl::string_view hex);
  // kNotFound: no such file. kInvalidArgument: it holds no key.
  static absl::StatusOr<CommandKey> Load(const std::string& path);

  std::string Sign(absl::string_view bytes) const;                    // kTagBytes long
  bool Verify(absl::string_view bytes, absl::string_view tag) const;  // in constant time

 private:
  CommandKey() = default;
  std::array<uint8_t, kKeyBytes> bytes_{};
};

// Whether both are the same; the time it takes says nothing of where or whether they differ, nor of their lengths.
bool IsSameSecret(absl::string_view a, absl::string_view b);

}  // namespace fleet
