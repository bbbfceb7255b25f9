#include "common/tcp_no_delay.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>

namespace fleet {
namespace {

// 0: no connected TCP socket.
uint16_t PeerPort(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return 0;
  if (peer.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(peer).sin_port);
  if (peer.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(peer).sin6_port);
  return 0;
}

}  // namespace

void SetNoDelayTowards(uint16_t peer_port) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    int set = 0;
    socklen_t size = sizeof(set);
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &set, &size) != 0 || set != 0 || PeerPort(fd) != peer_port) continue;
    set = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &set, sizeof(set));
  }
}

}  // namespace fleet
