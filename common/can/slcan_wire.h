// A serial line, or a pseudo terminal, over which slcan goes in either direction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/can/slcan_text.h"

namespace fleet {

// 8 bits, no parity, no flow control, no signals, and nothing that the terminal does to the bytes.
absl::Status MakeRaw(int fd);

class SlcanWire {
 public:
  enum class Heard { kAll, kMore, kGone };

  SlcanWire() = default;
  ~SlcanWire() { Close(); }
  SlcanWire(const SlcanWire&) = delete;
  SlcanWire& operator=(const SlcanWire&) = delete;

  // Takes over `fd`, which does not block.
  void Open(int fd);
  void Close();            // does not wait for what is not sent
  bool HasQueued() const;  // for the line, in the driver
  void Reset();            // forgets cut lines of both directions
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // Gives lines to `visit` until `most_bytes` are read. kGone: nobody is at the other end.
  Heard Hear(size_t most_bytes, SlcanSplitter::Visitor visit);

  // Keeps what the line does not take at once for Flush. kUnavailable: what was kept before did not go within
  // `patience`, or nobody is at the other end.
  absl::Status Send(absl::string_view lines, absl::Duration patience);
  bool Flush();  // false: nobody is at the other end
  bool has_unsent() const { return !unsent_.empty(); }

  uint64_t too_long() const { return splitter_.too_long(); }

 private:
  int fd_ = -1;
  SlcanSplitter splitter_;
  std::string unsent_;  // the end of what Send was given last
};

}  // namespace fleet
