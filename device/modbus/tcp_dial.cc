#include "device/modbus/tcp_dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/clock.h"

namespace fleet::device {
namespace {

// 0, or an errno.
int Connect(int fd, const SocketAddress& address, absl::Duration timeout, const Interruption& interruption) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd, address.get(), address.size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (interruption.Wait(fd, POLLOUT, timeout) != Interruption::Woken::kReady) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace

absl::StatusOr<int> DialTcp(NameLookup& name, absl::Duration timeout, const Interruption& interruption) {
  const SystemClock clock;
  const MonoTime deadline = clock.Read().mono + timeout;
  const auto addresses = name.Find(timeout, interruption);
  if (absl::IsCancelled(addresses.status())) return addresses.status();
  if (!addresses.ok()) return absl::UnavailableError(addresses.status().message());
  int error = ETIMEDOUT;
  for (size_t i = 0; i < addresses->size() && !interruption.raised(); ++i) {
    const SocketAddress& address = (*addresses)[i];
    const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      error = errno;
      continue;
    }
    const absl::Duration share = (deadline - clock.Read().mono) / static_cast<int64_t>(addresses->size() - i);
    error = Connect(fd, address, share, interruption);
    if (error == 0) return fd;
    close(fd);
  }
  if (interruption.raised()) return absl::CancelledError("interrupted");
  if (error == ETIMEDOUT) return absl::UnavailableError("it does not take the connection in time");
  return absl::UnavailableError(std::strerror(error));
}

}  // namespace fleet::device
