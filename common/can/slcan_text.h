// slcan, the protocol of CAN adapters on serial lines, as Lawicel's manuals of CAN232 and CANUSB describe it: lines of
// ASCII that end with CR. No I/O.
//
//   program to adapter             the answer
//   S0 .. S8                       CR           bit rate, while closed
//   O, L, C                        CR           opens, only to listen, closes
//   t1232AABB  T1234567801AA       z, Z and CR  a frame: id, size, data
//   r1232      R123456780          z, Z and CR  a remote frame
//   Z0, Z1                         CR           the adapter's frames end with four digits of milliseconds
//   V, N, F                        V1013 ...    version, serial number, status flags
// BEL instead of an answer says no. The adapter's frames look like the program's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "common/can/can_frame.h"

namespace fleet {

inline constexpr char kSlcanOk = '\r';                          // ends every line; alone it says yes
inline constexpr char kSlcanError = '\a';                       // says no
inline constexpr size_t kMaxSlcanLine = 1 + 8 + 1 + 2 * 8 + 4;  // T, id, size, data, time stamp

// The digit n of Sn; nullopt: slcan has no such bit rate. kSlcanBitrates lists them for people.
std::optional<char> SlcanSpeed(uint32_t bitrate);
inline constexpr char kSlcanBitrates[] = "10000, 20000, 50000, 100000, 125000, 250000, 500000, 800000 or 1000000";

// "t1232AABB", without CR, of a classic frame.
void AppendSlcanFrame(const CanFrame& frame, std::string& out);
// What Z1 adds: the milliseconds of the minute.
void AppendSlcanStamp(int64_t at_unix_us, std::string& out);

// "t1232AABB", also in small letters and with a stamp, which says too little to be used and is dropped.
std::optional<CanFrame> ParseSlcanFrame(absl::string_view line);

// Cuts what comes over the line into lines. LF is skipped, for those who send both.
class SlcanSplitter {
 public:
  // `text` without its end, at most kMaxSlcanLine long. `refused`: it ended with BEL.
  using Visitor = absl::FunctionRef<void(absl::string_view text, bool refused)>;

  void Feed(absl::string_view bytes, Visitor visit);
  void Reset();  // forgets the beginning of a line
  uint64_t too_long() const { return too_long_; }

 private:
  std::string line_;
  bool skipping_ = false;  // until the end of a line that is too long
  uint64_t too_long_ = 0;
};

}  // namespace fleet
