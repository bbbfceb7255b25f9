#include "common/can/replay_bus.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr size_t kChunkBytes = 64 << 10;
constexpr size_t kMaxLineBytes = 1024;         // an FD frame takes 200
constexpr int64_t kMaxStepUs = 3'600'000'000;  // an hour
constexpr double kRoundPauseUs = 1000;         // a log of one moment is no reason to spin
constexpr uint64_t kLinesToFirstFrame = 1000;
constexpr double kMinSpeed = 0.001, kMaxSpeed = 1000;

// The lines of a file, however long they are and however many.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}
  ~LineReader() { close(fd_); }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  uint64_t number() const { return number_; }  // of the line that came last

  // nullopt: the end. Valid until the next call; of a line over kMaxLineBytes only its beginning. Any error of read().
  absl::StatusOr<std::optional<absl::string_view>> Next() {
    line_.clear();
    while (true) {
      if (begin_ == end_) RETURN_IF_ERROR(Fill());
      if (begin_ == end_) break;
      const char* newline = static_cast<const char*>(memchr(chunk_.data() + begin_, '\n', end_ - begin_));
      const size_t stop = newline == nullptr ? end_ : static_cast<size_t>(newline - chunk_.data());
      const absl::string_view part(chunk_.data() + begin_, stop - begin_);
      begin_ = newline == nullptr ? end_ : stop + 1;
      if (newline != nullptr && line_.empty()) return Counted(part.substr(0, kMaxLineBytes + 1));
      line_.append(part.data(), std::min(part.size(), kMaxLineBytes + 1 - line_.size()));
      if (newline != nullptr) return Counted(line_);
    }
    if (line_.empty()) return std::nullopt;
    return Counted(line_);  // the last one, without a newline
  }

  absl::Status Rewind() {
    begin_ = end_ = 0;
    number_ = 0;
    if (lseek(fd_, 0, SEEK_SET) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, "cannot go back to the beginning");
  }

 private:
  std::optional<absl::string_view> Counted(absl::string_view line) {
    ++number_;
    return line;
  }
  absl::Status Fill() {
    ssize_t got = 0;
    do {
      got = read(fd_, chunk_.data(), chunk_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return absl::ErrnoToStatus(errno, "cannot read");
    begin_ = 0;
    end_ = static_cast<size_t>(got);
    return absl::OkStatus();
  }

  const int fd_;
  std::array<char, kChunkBytes> chunk_;
  size_t begin_ = 0, end_ = 0;  // what of the chunk was not handed out
  std::string line_;            // one that goes over the end of a chunk
  uint64_t number_ = 0;
};

// The frames of a log, one after the other; lines that are none are counted.
class ReplayLog {
 public:
  ReplayLog(std::string path, int fd) : path_(std::move(path)), lines_(fd) {}

  uint64_t malformed() const { return malformed_; }
  // "", or of the first line that could not be read.
  const std::string& first_malformed() const { return first_malformed_; }

  // nullopt: the end, or no frame in so many lines. Any error of read().
  absl::StatusOr<std::optional<CanFrame>> Next(uint64_t max_lines = std::numeric_limits<uint64_t>::max()) {
    for (; max_lines > 0; --max_lines) {
      ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, lines_.Next());
      if (!line) break;
      if (line->empty() || line->front() != '(') continue;  // a comment, for canplayer too
      absl::StatusOr<CandumpLine> parsed = ParseCandumpLine(*line);
      if (parsed.ok()) return parsed->frame;
      if (!again_) CountMalformed(parsed.status());
    }
    return std::nullopt;
  }

  // Next() begins at the beginning.
  absl::Status Rewind() {
    again_ = true;
    return lines_.Rewind();
  }

 private:
  void CountMalformed(const absl::Status& why) {
    if (malformed_++ > 0) return;
    first_malformed_ = absl::StrCat("line ", lines_.number(), ": ", why.message());
    LogWarn("replay has a bad line, others are only counted file={} problem={}", path_, first_malformed_);
  }

  const std::string path_;
  LineReader lines_;
  bool again_ = false;  // its bad lines have been counted
  uint64_t malformed_ = 0;
  std::string first_malformed_;
};

class ReplayBus : public CanBus {
 public:
  ReplayBus(const ReplayOptions& options, int fd)
      : options_(options), clock_(options.clock != nullptr ? *options.clock : system_clock_), log_(options.path, fd) {}

  // Finds the first frame.
  absl::Status Open() {
    ASSIGN_OR_RETURN(next_, log_.Next(kLinesToFirstFrame));
    if (next_) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(options_.path, " is no log of candump: no frame in its first lines", Malformed()));
  }

  void Read(absl::Duration timeout, std::vector<CanFrame>& out) override {
    const Now now = clock_.Read();
    if (!start_) start_ = now;
    if (TakeDue(now, out)) return;
    const absl::Duration due = next_ ? absl::Microseconds(due_us_) - (now.mono - start_->mono) : timeout;
    WaitForWake(std::min(timeout, due));
    TakeDue(clock_.Read(), out);
  }

  absl::Status Write(const CanFrame&) override {
    return absl::FailedPreconditionError(absl::StrCat(options_.path, " is a replay and takes no frames"));
  }

  void Wake() override {
    MutexLock lock(mu_);
    woken_ = true;
    changed_.NotifyAll();
  }

  CanBusReport report() const override {
    return {.up = next_.has_value(), .problem = problem_, .malformed = log_.malformed()};
  }

 private:
  // False: there was nothing to take yet.
  bool TakeDue(Now now, std::vector<CanFrame>& out) {
    const double playing_us = absl::ToDoubleMicroseconds(now.mono - start_->mono);
    const size_t before = out.size();
    while (next_ && out.size() - before < kMaxRead && (options_.speed == 0 || due_us_ <= playing_us)) {
      CanFrame& frame = out.emplace_back(*next_);
      frame.at_unix_us =
          absl::ToUnixMicros(options_.speed == 0 ? now.wall : start_->wall) + static_cast<int64_t>(due_us_);
      Advance();
    }
    return out.size() > before;
  }

  // To the next frame, when there is one.
  void Advance() {
    const int64_t last_us = next_->at_unix_us;
    absl::StatusOr<std::optional<CanFrame>> next = log_.Next();
    if (next.ok() && *next) {
      const int64_t step_us = std::clamp<int64_t>((*next)->at_unix_us - last_us, 0, kMaxStepUs);
      if (options_.speed > 0) due_us_ += static_cast<double>(step_us) / options_.speed;
    } else if (next.ok() && options_.loop) {
      next = FirstAgain();
      if (options_.speed > 0) due_us_ += kRoundPauseUs;
    }
    next_ = next.ok() ? *next : std::nullopt;
    if (next_) return;
    problem_ = next.ok() ? absl::StrCat("the log is over", Malformed())
                         : absl::StrCat(options_.path, ": ", next.status().message());
  }

  absl::StatusOr<std::optional<CanFrame>> FirstAgain() {
    RETURN_IF_ERROR(log_.Rewind());
    return log_.Next();
  }

  // "; 3 bad lines, line 7: ...", or nothing.
  std::string Malformed() const {
    if (log_.malformed() == 0) return "";
    return absl::StrCat("; unreadable lines: ", log_.malformed(), ", the first: ", log_.first_malformed());
  }

  void WaitForWake(absl::Duration timeout) {
    MutexLock lock(mu_);
    if (!woken_ && timeout > absl::ZeroDuration()) changed_.WaitFor(mu_, timeout);
    woken_ = false;
  }

  const ReplayOptions options_;
  const SystemClock system_clock_{};
  const Clock& clock_;

  // The thread that owns the bus.
  ReplayLog log_;
  std::optional<CanFrame> next_;
  double due_us_ = 0;         // of next_, since start_
  std::optional<Now> start_;  // the first Read
  std::string problem_;

  Mutex mu_;
  CondVar changed_;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CanBus>> OpenReplayBus(const ReplayOptions& options) {
  if (options.speed != 0 && !(options.speed >= kMinSpeed && options.speed <= kMaxSpeed)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the speed of a replay is 0 or ", kMinSpeed, " to ", kMaxSpeed, ", not ", options.speed));
  }
  // Does not wait for somebody to open the other end of a pipe.
  const int fd = open(options.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", options.path));
  auto bus = std::make_unique<ReplayBus>(options, fd);
  struct stat file {};
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(options.path, " is not a file"));
  }
  RETURN_IF_ERROR(bus->Open());
  return bus;
}

}  // namespace fleet
