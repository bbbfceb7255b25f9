// Modbus units by pymodbus, in a process of their own: pymodbus_server.py.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace fleet::device {

class PymodbusServer {
 public:
  // `arguments` of the script. Returns when it serves; it ends with the object. kNotFound: pymodbus is not installed;
  // kUnavailable: it does not come up.
  static absl::StatusOr<std::unique_ptr<PymodbusServer>> Start(std::vector<std::string> arguments);
  ~PymodbusServer();

  const std::string& where() const { return where_; }  // the port, or the path

 private:
  PymodbusServer(pid_t pid, int stdin_fd) : pid_(pid), stdin_fd_(stdin_fd) {}

  const pid_t pid_;
  const int stdin_fd_;
  std::string where_;
};

}  // namespace fleet::device
