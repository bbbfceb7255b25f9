#include "common/can/socketcan_socket.h"

#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

// The kernel doubles it and takes some 800 for a frame: 10 000 of them, half a second of 1 Mbit/s at its busiest.
constexpr int kReceiveBytes = 4 << 20;

// Frames of our own do not come back to this socket, but do to other programs: both are what CAN_RAW does by itself.
absl::Status Configure(int fd) {
  const struct {
    int level, name, value;
    const char* what;
  } options[] = {{SOL_CAN_RAW, CAN_RAW_FD_FRAMES, 1, "FD frames"},
                 {SOL_CAN_RAW, CAN_RAW_ERR_FILTER, CAN_ERR_MASK, "error frames"},
                 {SOL_SOCKET, SO_TIMESTAMP, 1, "time stamps"},
                 {SOL_SOCKET, SO_RXQ_OVFL, 1, "a count of lost frames"}};
  for (const auto& option : options) {
    if (setsockopt(fd, option.level, option.name, &option.value, sizeof(option.value)) == 0) continue;
    return absl::UnavailableError(absl::StrCat(": this kernel has no ", option.what, ": ", std::strerror(errno)));
  }
  // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what is lost with less is counted.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof(kReceiveBytes)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof(kReceiveBytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> OpenSocketCan(unsigned index) {
  const int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
  if (fd < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT)) {
    return absl::UnavailableError(": this kernel has no CAN; modprobe can_raw may help");
  }
  if (fd < 0) return absl::UnavailableError(absl::StrCat(": no CAN socket: ", std::strerror(errno)));
  absl::Status status = Configure(fd);
  sockaddr_can address{};
  address.can_family = AF_CAN;
  address.can_ifindex = static_cast<int>(index);
  if (status.ok() && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    status =
        absl::UnavailableError(errno == ENODEV ? " is no CAN interface" : absl::StrCat(": ", std::strerror(errno)));
  }
  if (status.ok()) return fd;
  close(fd);
  return status;
}

SocketCanBatch::SocketCanBatch() {
  for (size_t i = 0; i < kMost; ++i) {
    parts_[i] = {.iov_base = &frames_[i], .iov_len = sizeof(frames_[i])};
    messages_[i].msg_hdr.msg_iov = &parts_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
    messages_[i].msg_hdr.msg_control = controls_[i].bytes;
  }
}

int SocketCanBatch::Receive(int fd, size_t most) {
  const size_t count = std::min(most, kMost);
  for (size_t i = 0; i < count; ++i) messages_[i].msg_hdr.msg_controllen = sizeof(controls_[i].bytes);
  return recvmmsg(fd, messages_.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
}

void SocketCanBatch::ReadNotes(size_t i, int64_t& at_unix_us, uint32_t& drops) {
  msghdr& header = messages_[i].msg_hdr;
  for (cmsghdr* note = CMSG_FIRSTHDR(&header); note != nullptr; note = CMSG_NXTHDR(&header, note)) {
    if (note->cmsg_level != SOL_SOCKET) continue;
    if (note->cmsg_type == SCM_TIMESTAMP) {
      timeval at{};
      std::memcpy(&at, CMSG_DATA(note), sizeof(at));
      at_unix_us = int64_t{at.tv_sec} * 1'000'000 + at.tv_usec;
    } else if (note->cmsg_type == SO_RXQ_OVFL) {
      std::memcpy(&drops, CMSG_DATA(note), sizeof(drops));
    }
  }
}

}  // namespace fleet
