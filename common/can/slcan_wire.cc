#include "common/can/slcan_wire.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/can/polled_can_bus.h"

namespace fleet {

absl::Status MakeRaw(int fd) {
  termios settings{};
  if (tcgetattr(fd, &settings) != 0) return absl::UnavailableError("it is no serial line");
  cfmakeraw(&settings);
  settings.c_cflag |= CLOCAL | CREAD;
  settings.c_cflag &= ~(CSTOPB | CRTSCTS);
  settings.c_cc[VMIN] = 1;  // with 0, nothing to read looks like the end of the line
  settings.c_cc[VTIME] = 0;
  cfsetspeed(&settings, B115200);  // USB adapters do not mind
  if (tcsetattr(fd, TCSANOW, &settings) != 0) {
    return absl::UnavailableError(absl::StrCat("it cannot be set to 115200 8N1: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

void SlcanWire::Open(int fd) {
  Close();
  fd_ = fd;
  Reset();
}

void SlcanWire::Close() {
  if (fd_ < 0) return;
  // Otherwise close waits up to 30 s for an adapter that takes nothing. A pseudo terminal never has any.
  if (HasQueued()) tcflush(fd_, TCOFLUSH);
  close(fd_);
  fd_ = -1;
}

void SlcanWire::Reset() {
  splitter_.Reset();
  unsent_.clear();
  tcflush(fd_, TCOFLUSH);
}

bool SlcanWire::HasQueued() const {
  int bytes = 0;
  return ioctl(fd_, TIOCOUTQ, &bytes) == 0 && bytes > 0;
}

SlcanWire::Heard SlcanWire::Hear(size_t most_bytes, SlcanSplitter::Visitor visit) {
  char bytes[512];
  while (most_bytes > 0) {
    const ssize_t count = read(fd_, bytes, std::min(sizeof(bytes), most_bytes));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return Heard::kAll;
    if (count <= 0) return Heard::kGone;
    splitter_.Feed({bytes, static_cast<size_t>(count)}, visit);
    most_bytes -= static_cast<size_t>(count);
  }
  return Heard::kMore;
}

absl::Status SlcanWire::Send(absl::string_view lines, absl::Duration patience) {
  Flush();
  if (has_unsent()) {
    WaitForFd(fd_, POLLOUT, patience);
    Flush();
  }
  if (has_unsent()) return absl::UnavailableError("the serial line takes nothing more");
  unsent_ = std::string(lines);
  return Flush() ? absl::OkStatus() : absl::UnavailableError("the serial line is gone");
}

bool SlcanWire::Flush() {
  while (has_unsent()) {
    const ssize_t count = write(fd_, unsent_.data(), unsent_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return true;
    if (count <= 0) return false;
    unsent_.erase(0, static_cast<size_t>(count));
  }
  return true;
}

}  // namespace fleet
