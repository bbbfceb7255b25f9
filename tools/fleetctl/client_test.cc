#include "tools/fleetctl/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "fleet/v1/api.pb.h"

namespace fleet {
namespace {

// A port on which connections are taken, and broken without an answer, or refused when not `listening`.
class RudePort {
 public:
  explicit RudePort(bool listening) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    if (!listening) return;
    EXPECT_EQ(::listen(fd_, 8), 0);
    thread_ = std::thread([this] {
      for (int taken = ::accept(fd_, nullptr, nullptr); taken >= 0; taken = ::accept(fd_, nullptr, nullptr)) {
        char byte = 0;
        EXPECT_EQ(::recv(taken, &byte, 1, 0), 1);  // the request has begun to arrive
        ::close(taken);
      }
    });
  }
  ~RudePort() {
    ::shutdown(fd_, SHUT_RDWR);  // ends accept
    if (thread_.joinable()) thread_.join();
    ::close(fd_);
  }

  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_); }

 private:
  const int fd_;
  int port_ = 0;
  std::thread thread_;
};

absl::Status Post(const std::string& url) {
  Client client(url);
  v1::CommandView answer;
  return client.Post("/api/v1/devices/pi-1/segments", v1::SegmentRequest(), answer);
}

TEST(Client, ARefusedConnectionIsSurelyNotSent) {
  const RudePort port(false);
  const absl::Status status = Post(port.url());
  EXPECT_TRUE(IsUnreachable(status)) << status;
  EXPECT_TRUE(WasNotSent(status)) << status;
}

TEST(Client, AConnectionThatBrokeMayHaveBeenHeard) {
  const RudePort port(true);
  const absl::Status status = Post(port.url());
  EXPECT_TRUE(IsUnreachable(status)) << status;
  EXPECT_FALSE(WasNotSent(status)) << status;
}

}  // namespace
}  // namespace fleet
