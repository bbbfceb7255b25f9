#include "common/service_notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The end of systemd: a datagram socket.
class Listener {
 public:
  explicit Listener(const std::string& path) : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Listener() { close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // What has come; the peer's send has put it there already.
  std::vector<std::string> Take() const {
    std::vector<std::string> messages;
    char bytes[512];
    while (true) {
      const ssize_t count = recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
      if (count < 0) return messages;
      messages.emplace_back(bytes, static_cast<size_t>(count));
    }
  }

 private:
  const int fd_;
};

class ServiceNotifyTest : public testing::Test {
 protected:
  ServiceNotifyTest() { setenv("NOTIFY_SOCKET", path_.c_str(), 1); }
  ~ServiceNotifyTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  static void SetWatchdog(int64_t us, pid_t pid) {
    setenv("WATCHDOG_USEC", absl::StrCat(us).c_str(), 1);
    setenv("WATCHDOG_PID", absl::StrCat(pid).c_str(), 1);
  }
  static MonoTime At(int seconds) { return MonoTime() + absl::Seconds(seconds); }

  TempDir directory_;
  const std::string path_ = directory_.path() + "/notify";
  const Listener systemd_{path_};
};

TEST_F(ServiceNotifyTest, IsReadyWithTheFirstTurn) {
  ServiceNotify service;
  EXPECT_THAT(systemd_.Take(), IsEmpty());
  EXPECT_EQ(service.Turn(At(1)), MonoTime::Max());
  EXPECT_THAT(systemd_.Take(), ElementsAre("READY=1"));
  service.Turn(At(100));
  EXPECT_THAT(systemd_.Take(), IsEmpty());
}

TEST_F(ServiceNotifyTest, TurnsFeedTheWatchdogWhenHalfOfItsTimeIsOver) {
  SetWatchdog(10'000'000, getpid());
  ServiceNotify service;
  EXPECT_EQ(service.Turn(At(1)), At(6));
  EXPECT_THAT(systemd_.Take(), ElementsAre("READY=1", "WATCHDOG=1"));
  EXPECT_EQ(service.Turn(At(5)), At(6));
  EXPECT_THAT(systemd_.Take(), IsEmpty());
  EXPECT_EQ(service.Turn(At(6)), At(11));
  EXPECT_THAT(systemd_.Take(), ElementsAre("WATCHDOG=1"));
}

TEST_F(ServiceNotifyTest, AWatchdogOfAnotherProcessIsNotFed) {
  SetWatchdog(10'000'000, getpid() + 1);
  ServiceNotify service;
  EXPECT_EQ(service.Turn(At(1)), MonoTime::Max());
  EXPECT_THAT(systemd_.Take(), ElementsAre("READY=1"));
}

TEST_F(ServiceNotifyTest, AStatusIsOneLineAndToldOnce) {
  ServiceNotify service;
  service.Status("broker connected");
  service.Status("broker connected");
  service.Status("lost: x\nMAINPID=1");
  service.Stopping();
  EXPECT_THAT(systemd_.Take(), ElementsAre("STATUS=broker connected", "STATUS=lost: x MAINPID=1", "STOPPING=1"));
}

TEST_F(ServiceNotifyTest, WithoutASocketNothingIsTold) {
  unsetenv("NOTIFY_SOCKET");
  SetWatchdog(10'000'000, getpid());
  ServiceNotify service;
  EXPECT_EQ(service.Turn(At(1)), MonoTime::Max());
  service.Status("x");
  service.Stopping();
  EXPECT_THAT(systemd_.Take(), IsEmpty());
}

}  // namespace
}  // namespace fleet
