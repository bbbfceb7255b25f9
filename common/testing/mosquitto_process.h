// A real mosquitto for tests, on a free port of 127.0.0.1.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fleet {

// Configuration, log and persistence live in a temporary directory that goes with the object. The process is ended by
// its pid. When the current GoogleTest test has failed, the log of the broker is printed.
class MosquittoProcess {
 public:
  // Empty when there is no mosquitto on PATH or in /usr/sbin.
  static std::string FindExecutable();

  // Starts it and waits until it answers. `extra_config`: lines for mosquitto.conf beyond listener and log.
  // Call from the test's main thread: the broker ends with it. kNotFound: not installed; kUnavailable: did not come up,
  // with its log.
  static absl::StatusOr<std::unique_ptr<MosquittoProcess>> Start(
      absl::string_view extra_config = "allow_anonymous true");
  ~MosquittoProcess();

  std::string url() const;  // tcp://127.0.0.1:PORT, the same after Restart
  int port() const { return port_; }
  pid_t pid() const { return pid_; }
  std::string log() const;

  void Stop();             // SIGTERM, and waits for its end; SIGKILL after five seconds
  void Kill();             // SIGKILL, likewise
  absl::Status Restart();  // Stop when running, then as Start on the same port
  void Freeze();           // SIGSTOP: connections stay, nothing answers
  void Thaw();             // SIGCONT

 private:
  MosquittoProcess(std::string executable, std::string dir, std::string extra_config);
  absl::Status Launch();
  void End(int signal);

  const std::string executable_;
  const std::string dir_;
  const std::string extra_config_;
  int port_ = 0;
  pid_t pid_ = -1;  // -1: not running
};

}  // namespace fleet
