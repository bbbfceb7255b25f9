#include "common/can/socketcan_bus.h"

#include <fcntl.h>
#include <linux/can.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/polled_can_bus.h"
#include "common/can/socketcan_frame.h"
#include "common/can/socketcan_socket.h"

namespace fleet {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(500);
constexpr absl::Duration kPatience = absl::Milliseconds(20);
constexpr absl::Duration kBusyPause = absl::Milliseconds(1);  // about eight frames at 1 Mbit/s
constexpr char kBusOff[] =
    " has left the bus after too many errors (bus-off); with `ip link set ... type can restart-ms 100` it comes "
    "back by itself";

// Down, up again and gone are told by errors of the socket; up after down by nobody, so that a bus that is not up is
// looked at every kRetry.
class SocketCanBus : public PolledCanBus {
 public:
  explicit SocketCanBus(SocketCanOptions options) : options_(std::move(options)) {}
  ~SocketCanBus() override { Close(); }

  absl::Status Write(const CanFrame& frame) override;

 protected:
  Pause Turn(const Now& now, std::vector<CanFrame>& out) override;

 private:
  // False: there may be more than `most`.
  bool Receive(const Now& now, size_t most, std::vector<CanFrame>& out);
  void Take(size_t i, const Now& now, std::vector<CanFrame>& out);
  void HearError(const CanFrame& frame, MonoTime now);
  void LoseLink(int error, MonoTime now);
  void Look(MonoTime now);
  absl::Status CheckLink();
  bool IsUp() const;
  bool HasCarrier() const;
  void Close();

  const SocketCanOptions options_;
  int fd_ = -1;
  unsigned index_ = 0;  // of the interface that fd_ is bound to
  MonoTime look_at_;    // for the interface
  bool bus_off_ = false;
  uint32_t drops_ = 0;  // as the kernel counts for fd_
  SocketCanBatch batch_;
};

absl::Status SocketCanBus::Write(const CanFrame& frame) {
  if (options_.listen_only) return absl::FailedPreconditionError("this bus is set to listen only");
  if (frame.is(kCanError)) return absl::InvalidArgumentError("an error frame is a report and cannot be sent");
  // After bus-off the kernel takes frames and throws them away.
  if (fd_ < 0 || bus_off_) return absl::UnavailableError(report_.problem);
  canfd_frame raw;
  const size_t bytes = ToSocketCan(frame, raw);
  const MonoTime end = Time().mono + kPatience;
  while (send(fd_, &raw, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    const int error = errno;
    if (error == ENOBUFS || error == EAGAIN) {  // the queue of the interface, or the buffer of the socket
      if (Time().mono >= end) {
        return absl::UnavailableError(
            absl::StrCat(options_.interface, " sends nothing: is the cable in, and anybody there to acknowledge?"));
      }
      WaitForFd(-1, 0, kBusyPause);  // no event says that the queue of an interface has room
    } else if (error == EINVAL && frame.is(kCanFd)) {
      return absl::InvalidArgumentError(absl::StrCat(options_.interface, " carries no FD frames: ip link set ",
                                                     options_.interface, " type can ... dbitrate N fd on"));
    } else if (error != EINTR) {
      LoseLink(error, Time().mono);
      return absl::UnavailableError(absl::StrCat(options_.interface, ": ", std::strerror(error)));
    }
  }
  return absl::OkStatus();
}

PolledCanBus::Pause SocketCanBus::Turn(const Now& now, std::vector<CanFrame>& out) {
  // All of a socket is read before Look may open another.
  if (fd_ >= 0 && !Receive(now, kMaxRead, out)) return {.fd = fd_, .events = POLLIN};
  if (now.mono >= look_at_) Look(now.mono);
  return {.fd = fd_, .events = POLLIN, .due = look_at_};
}

bool SocketCanBus::Receive(const Now& now, size_t most, std::vector<CanFrame>& out) {
  while (most > 0) {
    const int count = batch_.Receive(fd_, most);
    const int error = errno;
    for (int i = 0; i < count; ++i) Take(static_cast<size_t>(i), now, out);
    if (count >= 0) {
      most -= static_cast<size_t>(count);
    } else if (error == EAGAIN) {
      return true;
    } else if (error != EINTR) {
      LoseLink(error, now.mono);  // told once, before the frames that are still there
      if (fd_ < 0) return true;
    }
  }
  return false;
}

void SocketCanBus::Take(size_t i, const Now& now, std::vector<CanFrame>& out) {
  std::optional<CanFrame> frame = FromSocketCan(batch_.frame(i), batch_.bytes(i));
  int64_t at_unix_us = absl::ToUnixMicros(now.wall);
  uint32_t drops = drops_;
  batch_.ReadNotes(i, at_unix_us, drops);
  report_.lost += drops - std::exchange(drops_, drops);  // modulo 2^32, as it is counted
  if (!frame.has_value()) {
    ++report_.malformed;
    return;
  }
  frame->at_unix_us = at_unix_us;
  if (frame->is(kCanError)) {
    HearError(*frame, now.mono);
  } else if (!report_.up) {
    look_at_ = now.mono;
  }
  out.push_back(*frame);
}

void SocketCanBus::HearError(const CanFrame& frame, MonoTime now) {
  ++report_.error_frames;
  const CanControllerNews news = ReadSocketCanError(frame);
  if (news.lost) ++report_.lost;  // at least one
  if (news.bus_off) {
    ++report_.bus_off;
    bus_off_ = true;
    Down(absl::StrCat(options_.interface, kBusOff));
    look_at_ = now + kRetry;
  }
  if (news.restarted) {
    bus_off_ = false;
    look_at_ = now;
  }
}

void SocketCanBus::LoseLink(int error, MonoTime now) {
  Down(absl::StrCat(options_.interface, ": ", std::strerror(error)));
  bus_off_ = false;  // the controller begins anew when it is started
  const bool usual = error == ENETDOWN || error == ENODEV || error == ENXIO;
  look_at_ = usual ? now : now + kRetry;
  if (!usual) Close();
}

void SocketCanBus::Look(MonoTime now) {
  const absl::Status status = CheckLink();
  look_at_ = status.ok() ? MonoTime::Max() : now + kRetry;
  if (status.ok()) {
    Up();
  } else {
    Down(absl::StrCat(options_.interface, status.message()));
  }
}

absl::Status SocketCanBus::CheckLink() {
  const unsigned index = if_nametoindex(options_.interface.c_str());
  if (index == 0 || index != index_) Close();  // an interface that is made anew has another index
  if (index == 0) return absl::UnavailableError(" does not exist: ip link lists those that there are");
  if (fd_ < 0) {
    absl::StatusOr<int> fd = OpenSocketCan(index);
    if (!fd.ok()) return fd.status();
    fd_ = *fd;
    index_ = index;
  }
  if (!IsUp()) return absl::UnavailableError(absl::StrCat(" is down: ip link set ", options_.interface, " up"));
  // It may have left the bus before we came.
  bus_off_ = !HasCarrier();
  return bus_off_ ? absl::UnavailableError(kBusOff) : absl::OkStatus();
}

bool SocketCanBus::IsUp() const {
  ifreq request{};
  options_.interface.copy(request.ifr_name, IFNAMSIZ - 1);
  return ioctl(fd_, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
}

// Linux takes the carrier away with bus-off and gives it back with the restart, also where a driver sends no frame
// about it. IFF_RUNNING says the same up to a second later.
bool SocketCanBus::HasCarrier() const {
  const int file = open(absl::StrCat("/sys/class/net/", options_.interface, "/carrier").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char carrier = '0';
  const bool has = read(file, &carrier, 1) == 1 && carrier == '1';
  close(file);
  return has;
}

void SocketCanBus::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  index_ = 0;
  drops_ = 0;
  bus_off_ = false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CanBus>> OpenSocketCanBus(const SocketCanOptions& options) {
  const std::string& name = options.interface;
  if (name.empty() || name.size() >= IFNAMSIZ || name.find_first_of("/ :") != std::string::npos || name[0] == '.') {
    return absl::InvalidArgumentError(absl::StrCat("no network interface can be called \"", name, "\""));
  }
  return std::make_unique<SocketCanBus>(options);
}

}  // namespace fleet
