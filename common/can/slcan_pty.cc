#include "common/can/slcan_pty.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/slcan_adapter.h"
#include "common/can/slcan_wire.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

// A terminal that nobody has open cannot be waited for: poll returns at once.
constexpr absl::Duration kLookAgain = absl::Milliseconds(100);
constexpr absl::Duration kPatience = absl::Milliseconds(20);

absl::Status MakeLink(const std::string& target, const std::string& link) {
  std::error_code error;
  const std::filesystem::file_status there = std::filesystem::symlink_status(link, error);
  if (std::filesystem::exists(there) && !std::filesystem::is_symlink(there)) {
    return absl::AlreadyExistsError(absl::StrCat(link, " is there already, and is no symbolic link"));
  }
  const std::string fresh = link + ".new";  // renamed, so that there is always a link once there was one
  std::filesystem::remove(fresh, error);
  std::filesystem::create_symlink(target, fresh, error);
  if (!error) std::filesystem::rename(fresh, link, error);
  if (error) return absl::UnavailableError(absl::StrCat(link, " cannot be made: ", error.message()));
  return absl::OkStatus();
}

class SlcanPtyBus : public SlcanPty {
 public:
  SlcanPtyBus(int fd, std::string path, SlcanPtyOptions options);
  ~SlcanPtyBus() override;

  const std::string& path() const override { return path_; }
  absl::Status Write(const CanFrame& frame) override;

 protected:
  Pause Turn(const Now& now, std::vector<CanFrame>& out) override;

 private:
  void ForgetProgram();
  void FollowChannel();

  const std::string path_;
  const SlcanPtyOptions options_;
  SlcanWire wire_;
  SlcanAdapter adapter_;
  bool forgot_ = false;  // nobody has the terminal open, and nothing is left of who had
};

SlcanPtyBus::SlcanPtyBus(int fd, std::string path, SlcanPtyOptions options)
    : path_(std::move(path)), options_(std::move(options)) {
  wire_.Open(fd);
  FollowChannel();
}

SlcanPtyBus::~SlcanPtyBus() {
  std::error_code error;
  if (std::filesystem::read_symlink(options_.link_path, error) == path_) {
    std::filesystem::remove(options_.link_path, error);
  }
}

absl::Status SlcanPtyBus::Write(const CanFrame& frame) {
  if (options_.listen_only) return absl::FailedPreconditionError("this bus is set to listen only");
  RETURN_IF_ERROR(CheckClassicCanFrame(frame));
  if (!adapter_.open()) return absl::UnavailableError(report_.problem);
  std::string line;
  adapter_.AppendFrame(frame, line);
  return wire_.Send(line, kPatience);
}

PolledCanBus::Pause SlcanPtyBus::Turn(const Now& now, std::vector<CanFrame>& out) {
  wire_.Flush();
  std::string answers;
  // No byte ends more than one line, so kMaxRead bytes are no more frames.
  const SlcanWire::Heard heard = wire_.Hear(kMaxRead, [&](absl::string_view text, bool bell) {
    std::optional<CanFrame> frame = adapter_.Hear(bell ? "\a" : text, answers);  // no program says BEL
    if (!frame.has_value()) return;
    frame->at_unix_us = absl::ToUnixMicros(now.wall);
    out.push_back(*frame);
  });
  // A program that does not read its answers goes without them.
  if (!answers.empty()) wire_.Send(answers, absl::ZeroDuration()).IgnoreError();
  const bool gone = heard == SlcanWire::Heard::kGone;
  if (gone && !std::exchange(forgot_, true)) ForgetProgram();
  if (!gone) forgot_ = false;
  FollowChannel();
  if (gone) return {.due = now.mono + kLookAgain};
  return {.fd = wire_.fd(), .events = static_cast<short>(POLLIN | (wire_.has_unsent() ? POLLOUT : 0))};
}

// What it has not read would be read by the next one.
void SlcanPtyBus::ForgetProgram() {
  adapter_.Reset();
  wire_.Reset();
  const int fd = open(path_.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  tcflush(fd, TCIFLUSH);
  close(fd);
}

void SlcanPtyBus::FollowChannel() {
  report_.malformed = adapter_.malformed() + wire_.too_long();
  if (adapter_.open()) {
    Up();
  } else {
    Down(absl::StrCat("no program has opened the CAN channel of ", path_));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SlcanPty>> OpenSlcanPty(const SlcanPtyOptions& options) {
  const int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  char path[64];
  if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 || ptsname_r(fd, path, sizeof(path)) != 0) {
    const absl::Status status = absl::UnavailableError(absl::StrCat("no pseudo terminal: ", std::strerror(errno)));
    if (fd >= 0) close(fd);
    return status;
  }
  // Otherwise the terminal would echo our frames back to us.
  absl::Status status = MakeRaw(fd);
  if (status.ok() && !options.link_path.empty()) status = MakeLink(path, options.link_path);
  if (!status.ok()) {
    close(fd);
    return status;
  }
  return std::make_unique<SlcanPtyBus>(fd, path, options);
}

}  // namespace fleet
