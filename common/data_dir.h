// The directory in which a program keeps its state: made when missing, used by one process at a time.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace fleet {

class DataDir {
 public:
  // kUnavailable: cannot be made or written; kAlreadyExists: another process uses it.
  static absl::StatusOr<DataDir> Open(const std::string& path);
  ~DataDir();  // gives the lock back, as the end of the process does
  DataDir(DataDir&& other) noexcept : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}
  DataDir& operator=(DataDir&&) = delete;

  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  DataDir(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  std::string path_;
  int lock_fd_;
};

}  // namespace fleet
