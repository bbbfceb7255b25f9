// DBC files: which signals the frames of a bus carry, and where in their bytes.
//
// Rules: the format as Vector's CANdb++ writes it. What a decoder needs is kept; what is known and not needed is read
// and forgotten; all else is an error with its line. Nothing is skipped because it could not be understood.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fleet::device {

inline constexpr size_t kMaxDbcBytes = 8 << 20;
inline constexpr size_t kMaxDbcMessages = 20'000;
inline constexpr size_t kMaxDbcSignals = 100'000;    // of all messages
inline constexpr size_t kMaxDbcMessageBytes = 1785;  // what J1939's transport carries; a frame has at most 64
inline constexpr size_t kMaxDbcMuxDepth = 8;         // multiplexers that lead to a signal

// Text is UTF-8, whatever the file has.
struct DbcLabel {
  double value = 0;  // as it is decoded: factor and offset are applied
  std::string word;
};

// The signal is there only when its multiplexer has a raw value in one of the ranges.
struct DbcMux {
  struct Range {
    uint64_t first = 0;
    uint64_t last = 0;  // included
    bool operator==(const Range&) const = default;
  };
  size_t multiplexer = 0;     // index of DbcMessage::signals
  std::vector<Range> ranges;  // in rising order, apart from each other
};

struct DbcSignal {
  enum class Kind : uint8_t { kInteger, kFloat32, kFloat64 };

  std::string name;
  uint16_t start_bit = 0;  // 8 * byte + bit, bit 0 the lowest; of the lowest bit, but if big-endian of the highest
  uint8_t size_bits = 0;   // 1..64; 32 and 64 of the float kinds
  bool little_endian = true;
  bool is_signed = false;
  Kind kind = Kind::kInteger;
  double factor = 1;
  double offset = 0;
  std::string unit;
  std::string comment;
  std::optional<DbcMux> mux;
  std::vector<DbcLabel> labels;  // in the file's order

  double Scaled(double raw) const { return raw * factor + offset; }
};

struct DbcMessage {
  std::string name;
  uint32_t id = 0;  // without the bit that says extended
  bool extended = false;
  bool j1939 = false;  // VFrameFormat J1939PG: the PGN says whose frame it is, not the whole id
  uint16_t size = 0;   // bytes
  std::string comment;
  std::optional<absl::Duration> cycle_time;
  std::vector<DbcSignal> signals;  // names are unique, all bits within `size`, at most kMaxDbcMuxDepth deep

  const DbcSignal* Find(absl::string_view signal) const;  // nullptr: none
};

struct DbcFile {
  std::vector<DbcMessage> messages;  // ids and names are unique

  const DbcMessage* Find(absl::string_view message) const;  // nullptr: none
};

// `text`: any bytes; UTF-8 or, string by string, Windows-1252. `file_name` is for the errors only. kInvalidArgument,
// as compilers say it: "truck.dbc:12: signal EngineSpeed is longer than its message".
absl::StatusOr<DbcFile> ParseDbc(absl::string_view text, absl::string_view file_name);

}  // namespace fleet::device
