// One end of a serial line, for tests of what is at the other.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/string_view.h"
#include "common/can/slcan_wire.h"
#include "common/status_macros.h"

namespace fleet {

class SerialEnd {
 public:
  // What an adapter is to those who open path().
  static SerialEnd Adapter() {
    SerialEnd end(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    char path[64];
    FLEET_CHECK(grantpt(end.fd_) == 0 && unlockpt(end.fd_) == 0 && ptsname_r(end.fd_, path, sizeof(path)) == 0);
    FLEET_CHECK(MakeRaw(end.fd_).ok());
    end.path_ = path;
    return end;
  }
  // What a program is that opens `path`.
  static SerialEnd Program(const std::string& path) {
    SerialEnd end(open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    end.path_ = path;
    return end;
  }
  ~SerialEnd() { Close(); }
  SerialEnd(SerialEnd&& other) noexcept : fd_(other.fd_), path_(std::move(other.path_)) { other.fd_ = -1; }
  SerialEnd& operator=(SerialEnd&&) = delete;

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // False: the line is full.
  bool Say(absl::string_view bytes) {
    return write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  }
  // All that came since the last call, and before.
  const std::string& Hear() {
    char bytes[4096];
    ssize_t count;
    while ((count = read(fd_, bytes, sizeof(bytes))) > 0) heard_.append(bytes, static_cast<size_t>(count));
    return heard_;
  }
  void Forget() { heard_.clear(); }

 private:
  explicit SerialEnd(int fd) : fd_(fd) { FLEET_CHECK(fd_ >= 0) << "no terminal"; }

  int fd_;
  std::string path_;
  std::string heard_;
};

}  // namespace fleet
