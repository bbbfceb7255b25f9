// A serial wire between two programs: a pair of pseudo terminals.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "common/can/testing/serial_end.h"
#include "common/interruption.h"

namespace fleet::device {

// Carries bytes both ways without delay. Gone with the object, as if it was unplugged at both ends.
class SerialWire {
 public:
  // `link` becomes a symbolic link to one end, as udev names a device.
  explicit SerialWire(const std::string& link)
      : left_(SerialEnd::Adapter()), right_(SerialEnd::Adapter()), thread_([this] { Run(); }) {
    std::filesystem::remove(link);
    std::filesystem::create_symlink(left_.path(), link);
  }
  ~SerialWire() {
    over_.Raise();
    thread_.join();
  }

  const std::string& other_end() const { return right_.path(); }

 private:
  // A terminal that nobody has opened is hung up, which poll tells again and again: it is looked at now and then.
  void Run() {
    while (!over_.raised()) {
      pollfd fds[3] = {{over_.fd(), POLLIN, 0}, {left_.fd(), POLLIN, 0}, {right_.fd(), POLLIN, 0}};
      poll(fds, 3, -1);
      Carry(left_.fd(), right_.fd());
      Carry(right_.fd(), left_.fd());
      if (((fds[1].revents | fds[2].revents) & POLLHUP) != 0) over_.Wait(-1, 0, absl::Milliseconds(1));
    }
  }
  static void Carry(int from, int to) {
    char bytes[512];
    const ssize_t count = read(from, bytes, sizeof(bytes));
    if (count > 0) (void)!write(to, bytes, static_cast<size_t>(count));
  }

  SerialEnd left_;
  SerialEnd right_;
  Interruption over_;
  std::thread thread_;
};

}  // namespace fleet::device
