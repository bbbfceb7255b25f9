// A half-duplex serial wire between two pseudo terminals, for tests of who speaks when.
//
//   serial_line DEVICE SLAVE BAUD [CHARACTER_BITS]
//
// DEVICE and SLAVE become links to the terminals. A byte takes CHARACTER_BITS / BAUD (11: 8E1) on the wire and is
// handed to the other side when its last bit is over; BAUD 0 hands it over at once. It prints `ready`, then of each
// byte
//
//   START SIDE HEX LATE     nanoseconds of CLOCK_MONOTONIC at its first bit; d or s; nanoseconds from its last bit to
//                           when it was handed over, which is the error of this program
//
// so that it may be judged who talked into whose bytes: both sides are always carried, as if there were two wires.
// A side's byte begins when it is written, but that the slave keeps the silence of 3.5 characters before it answers, as
// a slave with a real interface does, and the peer that plays it does not.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>

namespace fleet {
namespace {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC
using std::chrono::nanoseconds;

constexpr nanoseconds kIdle = std::chrono::milliseconds(100);

struct Byte {
  Clock::time_point start;
  Clock::time_point end;
  uint8_t value = 0;
};

// One end of the wire: a terminal that somebody opens, and what it has written and is not handed over yet.
class Side {
 public:
  Side(char name, const char* link) : name_(name), master_(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)) {
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) return;
    const std::string terminal = ptsname(master_);
    kept_ = open(terminal.c_str(), O_RDWR | O_NOCTTY);  // or the master would hang up whenever nobody has it open
    termios raw = {};
    tcgetattr(kept_, &raw);
    cfmakeraw(&raw);
    tcsetattr(kept_, TCSANOW, &raw);
    unlink(link);
    is_open_ = kept_ >= 0 && symlink(terminal.c_str(), link) == 0;
  }
  ~Side() {
    close(kept_);
    close(master_);
  }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  bool is_open() const { return is_open_; }
  int fd() const { return master_; }
  Clock::time_point free_at() const { return free_at_; }
  bool has_bytes() const { return !bytes_.empty(); }
  Clock::time_point next_end() const { return bytes_.front().end; }

  // What was written goes on the wire, not before `earliest`.
  void Take(Clock::time_point now, Clock::time_point earliest, nanoseconds character) {
    std::array<uint8_t, 512> buffer;
    const ssize_t count = read(master_, buffer.data(), buffer.size());
    for (ssize_t i = 0; i < count; ++i) {
      const Clock::time_point start = std::max({now, earliest, free_at_});
      free_at_ = start + character;
      bytes_.push_back({.start = start, .end = free_at_, .value = buffer[static_cast<size_t>(i)]});
    }
  }

  // Hands over what has passed the wire, and prints it.
  void Deliver(const Side& to) {
    while (!bytes_.empty() && bytes_.front().end <= Clock::now()) {
      const Byte byte = bytes_.front();
      bytes_.pop_front();
      // A terminal that nobody reads is full some day; what is not taken then is lost, as it is on a wire.
      [[maybe_unused]] const ssize_t taken = write(to.master_, &byte.value, 1);
      const nanoseconds late = Clock::now() - byte.end;
      std::printf("%lld %c %02x %lld\n", static_cast<long long>(nanoseconds(byte.start.time_since_epoch()).count()),
                  name_, byte.value, static_cast<long long>(late.count()));
    }
  }

 private:
  const char name_;
  const int master_;
  int kept_ = -1;
  bool is_open_ = false;
  Clock::time_point free_at_;
  std::deque<Byte> bytes_;
};

// A wire is never late because the machine is busy. Without the right to it the lateness is in what is printed.
void BeatTheClock() {
  prctl(PR_SET_TIMERSLACK, 1);
  const sched_param param = {.sched_priority = 10};
  sched_setscheduler(0, SCHED_FIFO, &param);
}

void Run(Side& device, Side& slave, nanoseconds character) {
  const nanoseconds silence = character * 7 / 2;
  while (true) {
    nanoseconds wait = kIdle;
    for (const Side* side : {&device, &slave}) {
      if (side->has_bytes()) wait = std::min(wait, nanoseconds(side->next_end() - Clock::now()));
    }
    if (wait == kIdle) std::fflush(stdout);  // nothing is on the wire
    wait = std::max(wait, nanoseconds(0));
    const timespec timeout = {.tv_sec = 0, .tv_nsec = static_cast<long>(wait.count())};
    std::array<pollfd, 2> fds = {
        {{.fd = device.fd(), .events = POLLIN, .revents = 0}, {.fd = slave.fd(), .events = POLLIN, .revents = 0}}};
    ppoll(fds.data(), fds.size(), &timeout, nullptr);
    const Clock::time_point now = Clock::now();
    if (fds[0].revents != 0) device.Take(now, now, character);
    if (fds[1].revents != 0) slave.Take(now, device.free_at() + silence, character);
    device.Deliver(slave);
    slave.Deliver(device);
  }
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int64_t baud = std::atoll(argv[3]);
  const int64_t bits = argc > 4 ? std::atoll(argv[4]) : 11;
  fleet::Side device('d', argv[1]);
  fleet::Side slave('s', argv[2]);
  if (!device.is_open() || !slave.is_open()) {
    std::perror("serial_line: no pseudo terminal");
    return 1;
  }
  fleet::BeatTheClock();
  std::puts("ready");
  std::fflush(stdout);
  fleet::Run(device, slave, std::chrono::nanoseconds(baud == 0 ? 0 : bits * 1'000'000'000 / baud));
}
