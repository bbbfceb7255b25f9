#include "device/life.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"

namespace fleet::device {
namespace {

// An open file that closes itself.
class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// 0: there is none yet, or it is damaged, which is logged.
uint32_t ReadEpoch(const std::string& path) {
  const File file(path, O_RDONLY);
  if (!file.is_open()) {
    if (errno != ENOENT) LogWarn("epoch cannot be read, starting at 1 file={} error={}", path, std::strerror(errno));
    return 0;
  }
  char bytes[32];
  const ssize_t size = read(file.fd(), bytes, sizeof(bytes));
  const absl::string_view text(bytes, size > 0 ? static_cast<size_t>(size) : 0);
  uint32_t epoch = 0;
  if (!absl::SimpleAtoi(text, &epoch) || epoch == 0 || epoch == std::numeric_limits<uint32_t>::max()) {
    LogWarn("epoch is damaged, starting at 1 file={}", path);
    return 0;
  }
  return epoch;
}

absl::Status ErrnoError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

// The file is the old or the new one, whenever the power goes.
absl::Status WriteEpoch(const std::string& dir, const std::string& path, uint32_t epoch) {
  const std::string temporary = path + ".new";
  const std::string text = absl::StrCat(epoch, "\n");
  const File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.is_open()) return ErrnoError("open", temporary);
  if (write(file.fd(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || fsync(file.fd()) != 0) {
    return ErrnoError("write", temporary);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoError("rename", temporary);
  const File directory(dir, O_RDONLY | O_DIRECTORY);
  if (!directory.is_open() || fsync(directory.fd()) != 0) return ErrnoError("sync", dir);
  return absl::OkStatus();
}

// For a full card, which has no room for another file but keeps the block of this one: a few bytes within one sector.
absl::Status OverwriteEpoch(const std::string& path, uint32_t epoch) {
  const std::string text = absl::StrCat(epoch, "\n");  // never shorter than what it replaces
  const File file(path, O_WRONLY);
  if (!file.is_open()) return ErrnoError("open", path);
  if (write(file.fd(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || fsync(file.fd()) != 0) {
    return ErrnoError("write", path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Life> Life::Begin(const std::string& path) {
  absl::StatusOr<DataDir> dir = DataDir::Open(path);
  if (absl::IsAlreadyExists(dir.status())) {
    return absl::AlreadyExistsError(
        absl::StrCat(dir.status().message(), ": stop it, or give this one a directory of its own with --data"));
  }
  const std::string file = path + "/epoch";
  const uint32_t last = ReadEpoch(file);
  absl::Status kept = dir.status();
  Life life(dir.ok() ? std::optional<DataDir>(*std::move(dir)) : std::nullopt);
  life.epoch_ = last + 1;
  if (kept.ok()) kept = WriteEpoch(path, file, life.epoch_);
  if (!kept.ok() && last > 0 && OverwriteEpoch(file, life.epoch_).ok()) kept = absl::OkStatus();
  life.is_kept_ = kept.ok();
  if (!kept.ok()) {
    LogWarn("start is not remembered, make the directory writable or choose another with --data epoch={} error={}",
            life.epoch_, kept.message());
  }
  return life;
}

}  // namespace fleet::device
