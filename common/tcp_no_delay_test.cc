#include "common/tcp_no_delay.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fleet {
namespace {

// A listening socket on a free port of the loopback address, and a connection to it.
class TcpNoDelayTest : public testing::Test {
 protected:
  void SetUp() override {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(listener_, 1), 0);
    ASSERT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    ASSERT_EQ(connect(client_, reinterpret_cast<sockaddr*>(&address), size), 0);
  }
  void TearDown() override {
    close(client_);
    close(listener_);
  }
  bool IsSet() const {
    int set = 0;
    socklen_t size = sizeof(set);
    EXPECT_EQ(getsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &set, &size), 0);
    return set != 0;
  }

  const int listener_ = socket(AF_INET, SOCK_STREAM, 0);
  const int client_ = socket(AF_INET, SOCK_STREAM, 0);
  uint16_t port_ = 0;
};

TEST_F(TcpNoDelayTest, SetsItOnConnectionsToThatPort) {
  ASSERT_FALSE(IsSet());
  SetNoDelayTowards(port_);
  EXPECT_TRUE(IsSet());
}

TEST_F(TcpNoDelayTest, LeavesOtherConnectionsAlone) {
  SetNoDelayTowards(static_cast<uint16_t>(port_ ^ 1));
  EXPECT_FALSE(IsSet());
}

}  // namespace
}  // namespace fleet
