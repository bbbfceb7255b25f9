#include "common/can/slcan_bus.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/polled_can_bus.h"
#include "common/can/slcan_text.h"
#include "common/can/slcan_wire.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(500);
constexpr absl::Duration kSettle = absl::Milliseconds(100);  // of answers to what came before us
constexpr absl::Duration kAnswer = absl::Milliseconds(500);
constexpr absl::Duration kPatience = absl::Milliseconds(20);

// What Linux reports when the controller has no room for a frame: class CAN_ERR_CRTL with CAN_ERR_CRTL_TX_OVERFLOW.
CanFrame SendingFailed(int64_t at_unix_us) {
  CanFrame frame{.at_unix_us = at_unix_us, .id = 0x4, .flags = kCanError, .size = 8};
  frame.data[1] = 0x2;
  return frame;
}

// The tty at `path`, ours alone and raw.
absl::StatusOr<int> OpenTty(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    const absl::string_view hint = errno == EACCES ? " (is this user in the group dialout?)" : "";
    return absl::UnavailableError(absl::StrCat(std::strerror(errno), hint));
  }
  absl::Status status = MakeRaw(fd);
  if (status.ok() && flock(fd, LOCK_EX | LOCK_NB) != 0) status = absl::UnavailableError("another program uses it");
  if (status.ok()) return fd;
  close(fd);
  return status;
}

//   Absent --tty opens: C--> Settling --kSettle: S--> Setting --answer: O or L--> Opening --answer--> Open
//     ^                                                                                                 |
//     +-------------- kRetry after a refusal, no answer, or the end of the line ------------------------+
// An adapter that never answers anything, such as CANable's first firmware, is taken to have obeyed; except that it
// only listens, which must be certain.
class SlcanBus : public PolledCanBus {
 public:
  SlcanBus(SlcanOptions options, char speed) : options_(std::move(options)), speed_(speed) {}
  ~SlcanBus() override;

  absl::Status Write(const CanFrame& frame) override;

 protected:
  Pause Turn(const Now& now, std::vector<CanFrame>& out) override;

 private:
  enum class State { kAbsent, kSettling, kSetting, kOpening, kOpen };

  void Plug(MonoTime now);
  void Unplug(MonoTime now, absl::string_view why);
  void Ask(absl::string_view command, State state, MonoTime due);
  void AskToOpen(MonoTime now);
  void BeOpen();
  void Silence(MonoTime now);
  void HearLine(absl::string_view text, bool refused, const Now& now, std::vector<CanFrame>& out);
  void HearAnswer(bool refused, MonoTime now);
  void HearFrame(absl::string_view text, int64_t at_unix_us, std::vector<CanFrame>& out);

  const SlcanOptions options_;
  const char speed_;
  SlcanWire wire_;
  State state_ = State::kAbsent;
  MonoTime due_;          // of the next step
  bool answers_ = false;  // it has answered since it was plugged in
  std::string refusal_;   // what it refused to do; ends this attempt
  uint64_t no_frames_ = 0;
};

// An adapter that stays open goes on acknowledging what nobody reads.
SlcanBus::~SlcanBus() {
  if (!wire_.is_open()) return;
  wire_.Send("C\r", kPatience).IgnoreError();  // nobody is left to be told
  for (int i = 0; i < 20 && wire_.HasQueued(); ++i) WaitForFd(-1, 0, absl::Milliseconds(1));
}

absl::Status SlcanBus::Write(const CanFrame& frame) {
  if (options_.listen_only) return absl::FailedPreconditionError("this bus is set to listen only");
  RETURN_IF_ERROR(CheckClassicCanFrame(frame));
  if (state_ != State::kOpen) return absl::UnavailableError(report_.problem);
  std::string line;
  AppendSlcanFrame(frame, line);
  line.push_back(kSlcanOk);
  return wire_.Send(line, kPatience);
}

PolledCanBus::Pause SlcanBus::Turn(const Now& now, std::vector<CanFrame>& out) {
  if (!wire_.is_open() && now.mono >= due_) Plug(now.mono);
  if (!wire_.is_open()) return {.due = due_};
  wire_.Flush();
  // No byte ends more than one line, so kMaxRead bytes are no more frames.
  const SlcanWire::Heard heard =
      wire_.Hear(kMaxRead, [&](absl::string_view text, bool refused) { HearLine(text, refused, now, out); });
  report_.malformed = no_frames_ + wire_.too_long();
  if (heard == SlcanWire::Heard::kGone) {
    Unplug(now.mono, "it was unplugged");
  } else if (!refusal_.empty()) {
    Unplug(now.mono, std::exchange(refusal_, ""));
  } else if (heard == SlcanWire::Heard::kAll && now.mono >= due_) {
    Silence(now.mono);
  }
  const short events = static_cast<short>(POLLIN | (wire_.has_unsent() ? POLLOUT : 0));
  return {.fd = wire_.fd(), .events = events, .due = due_};
}

void SlcanBus::Plug(MonoTime now) {
  const absl::StatusOr<int> fd = OpenTty(options_.path);
  if (!fd.ok()) return Unplug(now, fd.status().message());
  wire_.Open(*fd);
  answers_ = false;
  Down(absl::StrCat("slcan adapter ", options_.path, ": it was plugged in and is being opened"));
  Ask("\r\rC\r", State::kSettling, now + kSettle);  // CR ends a line that somebody left
}

void SlcanBus::Unplug(MonoTime now, absl::string_view why) {
  Down(absl::StrCat("slcan adapter ", options_.path, ": ", why));
  wire_.Close();
  state_ = State::kAbsent;
  due_ = now + kRetry;
}

void SlcanBus::Ask(absl::string_view command, State state, MonoTime due) {
  state_ = state;
  due_ = due;
  if (const absl::Status status = wire_.Send(command, kPatience); !status.ok())
    refusal_ = std::string(status.message());
}

void SlcanBus::AskToOpen(MonoTime now) {
  Ask(options_.listen_only ? "L\r" : "O\r", State::kOpening, now + kAnswer);
}

void SlcanBus::BeOpen() {
  state_ = State::kOpen;
  due_ = MonoTime::Max();
  Up();
}

// The step is over, and nothing came.
void SlcanBus::Silence(MonoTime now) {
  switch (state_) {
    case State::kSettling:
      return Ask(absl::StrCat("S", absl::string_view(&speed_, 1), "\r"), State::kSetting, now + kAnswer);
    case State::kSetting:
      return AskToOpen(now);
    case State::kOpening:
      if (options_.listen_only) return Unplug(now, "it does not confirm that it only listens, so it is left closed");
      if (answers_) return Unplug(now, "it does not answer when it is to open the channel");
      return BeOpen();
    case State::kAbsent:
    case State::kOpen:
      return;
  }
}

void SlcanBus::HearLine(absl::string_view text, bool refused, const Now& now, std::vector<CanFrame>& out) {
  if (!refusal_.empty() || state_ == State::kSettling) return;
  if (state_ != State::kOpen) {
    const bool proves_open = state_ == State::kOpening && !options_.listen_only && ParseSlcanFrame(text).has_value();
    if (text.empty()) HearAnswer(refused, now.mono);
    if (proves_open) BeOpen();
    if (!proves_open) return;
  }
  const int64_t at_unix_us = absl::ToUnixMicros(now.wall);
  if (!text.empty() && text != "z" && text != "Z") HearFrame(text, at_unix_us, out);
  if (!refused) return;
  ++report_.error_frames;
  out.push_back(SendingFailed(at_unix_us));
}

void SlcanBus::HearAnswer(bool refused, MonoTime now) {
  answers_ = true;
  if (refused && state_ == State::kSetting) {
    refusal_ = absl::StrCat("it has no bit rate of ", options_.bitrate, " bit/s");
  } else if (refused) {
    refusal_ = options_.listen_only ? "it cannot only listen" : "it refuses to open the channel";
  } else if (state_ == State::kSetting) {
    AskToOpen(now);
  } else {
    BeOpen();
  }
}

void SlcanBus::HearFrame(absl::string_view text, int64_t at_unix_us, std::vector<CanFrame>& out) {
  std::optional<CanFrame> frame = ParseSlcanFrame(text);
  if (!frame.has_value()) {
    ++no_frames_;
    return;
  }
  frame->at_unix_us = at_unix_us;
  out.push_back(*frame);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CanBus>> OpenSlcanBus(const SlcanOptions& options) {
  const std::optional<char> speed = SlcanSpeed(options.bitrate);
  if (!speed.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slcan has no bit rate of ", options.bitrate, " bit/s, only ", kSlcanBitrates));
  }
  return std::make_unique<SlcanBus>(options, *speed);
}

}  // namespace fleet
