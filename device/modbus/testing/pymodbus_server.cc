#include "device/modbus/testing/pymodbus_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

constexpr char kPython[] = "/usr/bin/python3";  // the one that sees the packages of the system
constexpr char kScript[] = FLEET_SOURCE_DIR "/device/modbus/testing/pymodbus_server.py";

// The first line, or all there is: a script that fails says so elsewhere and ends.
std::string ReadLine(int fd) {
  std::string line;
  for (char c; read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PymodbusServer>> PymodbusServer::Start(std::vector<std::string> arguments) {
  int to_child[2], from_child[2];
  FLEET_CHECK(pipe2(to_child, O_CLOEXEC) == 0 && pipe2(from_child, O_CLOEXEC) == 0) << "no pipes";
  std::vector<char*> argv = {const_cast<char*>(kPython), const_cast<char*>(kScript)};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  FLEET_CHECK(pid >= 0) << "no process";
  if (pid == 0) {
    dup2(to_child[0], STDIN_FILENO);
    dup2(from_child[1], STDOUT_FILENO);
    execv(kPython, argv.data());
    _exit(127);
  }
  close(to_child[0]);
  close(from_child[1]);
  auto server = std::unique_ptr<PymodbusServer>(new PymodbusServer(pid, to_child[1]));
  const std::string line = ReadLine(from_child[0]);
  close(from_child[0]);
  absl::string_view where = line;
  if (absl::StartsWith(where, "skipped: ")) return absl::NotFoundError(line);
  if (!absl::ConsumePrefix(&where, "ready ")) return absl::UnavailableError("the server by pymodbus does not come up");
  server->where_ = std::string(where);
  return server;
}

PymodbusServer::~PymodbusServer() {
  close(stdin_fd_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace fleet::device
