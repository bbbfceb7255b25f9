// Identities. Checked once when made, values after that.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fleet {

// Names a device: 1 to 64 of A-Z a-z 0-9 . _ - (docs/protocol.md section 1). Held inline, so copying allocates nothing.
class DeviceId {
 public:
  static constexpr size_t kMaxBytes = 64;

  // kInvalidArgument: empty, too long, or a character that is not allowed.
  static absl::StatusOr<DeviceId> Parse(absl::string_view text);
  static bool IsValid(absl::string_view text);

  absl::string_view view() const { return {bytes_.data(), size_}; }
  std::string str() const { return std::string(view()); }

  friend bool operator==(const DeviceId& a, const DeviceId& b) { return a.view() == b.view(); }
  friend bool operator<(const DeviceId& a, const DeviceId& b) { return a.view() < b.view(); }
  template <typename H>
  friend H AbslHashValue(H h, const DeviceId& id) {
    return H::combine(std::move(h), id.view());
  }

 private:
  explicit DeviceId(absl::string_view text) : size_(static_cast<uint8_t>(text.size())) {
    std::memcpy(bytes_.data(), text.data(), text.size());
  }
  uint8_t size_;
  std::array<char, kMaxBytes> bytes_;
};

enum class EntityId : uint32_t {};   // unique within its device
enum class CommandId : uint64_t {};  // unique within the server, never 0

inline uint32_t Number(EntityId id) {
  return static_cast<uint32_t>(id);
}
inline uint64_t Number(CommandId id) {
  return static_cast<uint64_t>(id);
}

}  // namespace fleet
