// A socket of CAN_RAW, and reading many frames from it at once. Only socketcan_*.cc include this.
#pragma once

#include <linux/can.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace fleet {

// Bound to the interface `index`, does not block; FD and error frames come too, with time stamps and a count of what
// was lost. kUnavailable; its message continues the name of the interface: "can0" + ": no CAN socket".
absl::StatusOr<int> OpenSocketCan(unsigned index);

// Messages for one call of the kernel.
class SocketCanBatch {
 public:
  static constexpr size_t kMost = 64;

  SocketCanBatch();
  SocketCanBatch(const SocketCanBatch&) = delete;
  SocketCanBatch& operator=(const SocketCanBatch&) = delete;

  // How many came, at most `most` or kMost; -1 and errno.
  int Receive(int fd, size_t most);

  const canfd_frame& frame(size_t i) const { return frames_[i]; }
  // Of the frame; 0: it was longer than any that we asked for.
  size_t bytes(size_t i) const { return messages_[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : messages_[i].msg_len; }

  // What the kernel says beside frame `i`; unchanged where it says nothing. `drops`: lost since the socket was made.
  void ReadNotes(size_t i, int64_t& at_unix_us, uint32_t& drops);

 private:
  union Control {
    char bytes[CMSG_SPACE(sizeof(timeval)) + CMSG_SPACE(sizeof(uint32_t))];
    cmsghdr aligned;
  };

  std::array<canfd_frame, kMost> frames_{};
  std::array<iovec, kMost> parts_{};
  std::array<Control, kMost> controls_{};
  std::array<mmsghdr, kMost> messages_{};  // point to the others
};

}  // namespace fleet
