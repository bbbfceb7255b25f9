// One CAN frame, classic or FD, as every part of Fleet that touches a bus has it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace fleet {

inline constexpr uint32_t kMaxStandardCanId = 0x7FF;
inline constexpr uint32_t kMaxExtendedCanId = 0x1FFFFFFF;
inline constexpr size_t kMaxClassicCanBytes = 8;
inline constexpr size_t kMaxCanBytes = 64;

// The bits of CanFrame::flags, the same in fleet/v1/common.proto.
enum CanFlag : uint8_t {
  kCanExtended = 1,  // 29-bit id
  kCanRemote = 2,    // asks for data and has none
  kCanFd = 4,
  kCanBrs = 8,     // of FD: the data had the faster bit rate
  kCanEsi = 16,    // of FD: the sender is error passive
  kCanError = 32,  // no frame of anybody: the controller reports an error; id is the class, as in linux/can/error.h
  kCanSent = 64,   // put on the bus by ourselves
};

struct CanFrame {
  int64_t at_unix_us = 0;  // when it was on the bus, by the clock that stamped it
  uint32_t id = 0;         // without flag bits
  uint8_t flags = 0;
  uint8_t size = 0;  // data in bytes, never a DLC; of a remote frame what it asks for
  std::array<uint8_t, kMaxCanBytes> data{};

  bool is(CanFlag flag) const { return (flags & flag) != 0; }
  size_t data_size() const { return is(kCanRemote) ? 0 : size; }
  std::span<const uint8_t> bytes() const { return {data.data(), data_size()}; }
};

// All but the time; of the data only what counts.
bool operator==(const CanFrame& a, const CanFrame& b);

// Is `size` one that a frame can have: 0 to 8, with FD also 12, 16, 20, 24, 32, 48 and 64.
bool IsCanSize(size_t size, bool fd);

// kInvalidArgument, with the reason: an id beyond its format, a size that does not exist, BRS or ESI without FD, remote
// with FD, an error frame with any of the flags before kCanError, a flag that is none.
absl::Status CheckCanFrame(const CanFrame& frame);

}  // namespace fleet
