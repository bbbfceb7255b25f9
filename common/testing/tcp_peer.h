// The other end of a TCP connection, byte by byte, for tests of clients.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/status_macros.h"

namespace fleet {

constexpr int kTcpPeerPatienceMs = 20'000;

// A connection that a TcpPeer has taken.
class TcpPeerConnection {
 public:
  explicit TcpPeerConnection(int fd) : fd_(fd) {}
  ~TcpPeerConnection() { Close(); }
  TcpPeerConnection(TcpPeerConnection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  TcpPeerConnection& operator=(TcpPeerConnection&&) = delete;

  // So many bytes, or fewer when the client closes first.
  std::string Read(size_t count) {
    std::string bytes;
    while (bytes.size() < count && HasSomething()) {
      char buffer[512];
      const ssize_t got = recv(fd_, buffer, std::min(sizeof(buffer), count - bytes.size()), 0);
      if (got <= 0) break;
      bytes.append(buffer, static_cast<size_t>(got));
    }
    return bytes;
  }
  // False: the client has closed.
  bool Send(absl::string_view bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  // True: the client has closed, and sent nothing more before.
  bool IsAtEnd() { return Read(1).empty(); }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  bool HasSomething() const {
    pollfd one = {.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&one, 1, kTcpPeerPatienceMs) == 1;
  }
  int fd_;
};

// Listens on a free port of 127.0.0.1.
class TcpPeer {
 public:
  TcpPeer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    FLEET_CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 && listen(fd_, kBacklog) == 0)
        << "no free port";
  }
  ~TcpPeer() {
    close(fd_);
    for (const int fd : callers_) close(fd);
  }
  TcpPeer(const TcpPeer&) = delete;
  TcpPeer& operator=(const TcpPeer&) = delete;

  int port() const { return ntohs(address().sin_port); }
  // From now on a connection is neither taken nor refused.
  void Fill() {
    const sockaddr_in to = address();
    for (int i = 0; i < 2 * kBacklog; ++i) {
      callers_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      connect(callers_.back(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
  }
  TcpPeerConnection Accept() {
    pollfd one = {.fd = fd_, .events = POLLIN, .revents = 0};
    FLEET_CHECK(poll(&one, 1, kTcpPeerPatienceMs) == 1) << "nobody connects";
    return TcpPeerConnection(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
  }
  bool HasCaller() const {
    pollfd one = {.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&one, 1, 0) == 1;
  }

 private:
  static constexpr int kBacklog = 8;

  sockaddr_in address() const {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    FLEET_CHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0) << "no address";
    return address;
  }
  const int fd_;
  std::vector<int> callers_;
};

}  // namespace fleet
