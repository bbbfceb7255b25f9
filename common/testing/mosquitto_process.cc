#include "common/testing/mosquitto_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(10);
constexpr absl::Duration kStopTimeout =
    absl::Seconds(5);              // mosquitto forgets a SIGTERM that comes before its loop runs
constexpr int kStartAttempts = 5;  // another process may take the free port before the broker does

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  FLEET_CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) << "no free port";
  FLEET_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) << "no free port";
  close(fd);
  return ntohs(address.sin_port);
}

// Whether the broker's loop runs: it answers a CONNECT, if only by closing. The kernel accepts before that.
bool Answers(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  const timeval timeout = {.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  // MQTT 5, section 3.1: version 5, clean start, keepalive 5 s, no properties, no client id.
  const std::string hello("\x10\x0d\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x00", 15);
  char answer = 0;
  const bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                        send(fd, hello.data(), hello.size(), MSG_NOSIGNAL) > 0 && recv(fd, &answer, 1, 0) >= 0;
  close(fd);
  return answered;
}

void Nap() {
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

std::string MosquittoProcess::FindExecutable() {
  const char* path = std::getenv("PATH");
  std::vector<std::string> dirs = absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty());
  dirs.push_back("/usr/sbin");
  for (const std::string& dir : dirs) {
    const std::string file = absl::StrCat(dir, "/mosquitto");
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

absl::StatusOr<std::unique_ptr<MosquittoProcess>> MosquittoProcess::Start(absl::string_view extra_config) {
  const std::string executable = FindExecutable();
  if (executable.empty()) return absl::NotFoundError("mosquitto is not installed (package mosquitto)");
  std::string dir = (std::filesystem::temp_directory_path() / "fleet-mosquitto-XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) return absl::UnavailableError(absl::StrCat("cannot make ", dir));
  auto broker = std::unique_ptr<MosquittoProcess>(new MosquittoProcess(executable, dir, std::string(extra_config)));
  absl::Status status;
  for (int i = 0; i < kStartAttempts; ++i) {
    broker->port_ = FreePort();
    status = broker->Launch();
    if (status.ok()) return broker;
  }
  return status;
}

MosquittoProcess::MosquittoProcess(std::string executable, std::string dir, std::string extra_config)
    : executable_(std::move(executable)), dir_(std::move(dir)), extra_config_(std::move(extra_config)) {}

MosquittoProcess::~MosquittoProcess() {
  Stop();
  if (testing::Test::HasFailure()) std::cerr << "log of mosquitto on port " << port_ << ":\n" << log();
  std::error_code ignored;  // a directory left behind in the temporary place harms nobody
  std::filesystem::remove_all(dir_, ignored);
}

std::string MosquittoProcess::url() const {
  return absl::StrCat("tcp://127.0.0.1:", port_);
}

std::string MosquittoProcess::log() const {
  std::ifstream file(dir_ + "/log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::Status MosquittoProcess::Launch() {
  const std::string config = dir_ + "/mosquitto.conf";
  const std::string log_file = dir_ + "/log";
  std::ofstream(config) << "listener " << port_ << " 127.0.0.1\n"
                        << "log_dest stderr\nlog_type all\nlog_timestamp_format %Y-%m-%dT%H:%M:%S\n"
                        << extra_config_ << "\n";
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) return absl::UnavailableError("cannot fork");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that crashes leaves no broker behind
    if (getppid() != parent) _exit(127);
    const int fd = open(log_file.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execl(executable_.c_str(), executable_.c_str(), "-c", config.c_str(), nullptr);
    _exit(127);
  }
  const SystemClock clock;
  const MonoTime deadline = clock.Read().mono + kStartTimeout;
  while (clock.Read().mono < deadline) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return absl::UnavailableError(absl::StrCat("mosquitto ended at once:\n", log()));
    }
    if (Answers(port_)) return absl::OkStatus();
    Nap();  // nothing tells us when another process listens
  }
  Kill();
  return absl::UnavailableError(absl::StrCat("mosquitto does not accept connections:\n", log()));
}

void MosquittoProcess::End(int signal) {
  if (pid_ <= 0) return;
  kill(pid_, signal);
  kill(pid_, SIGCONT);  // it may be frozen
  const SystemClock clock;
  const MonoTime deadline = clock.Read().mono + kStopTimeout;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (clock.Read().mono >= deadline) kill(pid_, SIGKILL);
    Nap();
  }
  pid_ = -1;
}

void MosquittoProcess::Stop() {
  End(SIGTERM);
}
void MosquittoProcess::Kill() {
  End(SIGKILL);
}

absl::Status MosquittoProcess::Restart() {
  Stop();
  return Launch();
}

void MosquittoProcess::Freeze() {
  kill(pid_, SIGSTOP);
}
void MosquittoProcess::Thaw() {
  kill(pid_, SIGCONT);
}

}  // namespace fleet
