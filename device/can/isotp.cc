#include "device/can/isotp.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace fleet::device {
namespace {

// The upper four bits of the first byte.
enum FrameKind : uint8_t { kSingle = 0, kFirst = 1, kConsecutive = 2, kFlowControl = 3 };
enum FlowStatus : uint8_t { kClearToSend = 0, kWait = 1, kOverflow = 2 };

constexpr size_t kFirstBytes = 6;        // of the message, in its first frame
constexpr size_t kConsecutiveBytes = 7;  // likewise
constexpr size_t kFlowControlBytes = 3;

// Only classic data frames of others carry ISO-TP here.
bool IsTransport(const CanFrame& frame) {
  return (frame.flags & (kCanRemote | kCanFd | kCanError | kCanSent)) == 0 && frame.size <= kMaxClassicCanBytes;
}

CanFrame MakeFrame(IsoTpId id) {
  CanFrame frame{.id = id.id, .size = kMaxClassicCanBytes};
  if (id.extended) frame.flags = kCanExtended;
  std::fill_n(frame.data.begin(), kMaxClassicCanBytes, kIsoTpPadding);
  return frame;
}

// STmin: 00-7F milliseconds, F1-F9 hundreds of microseconds. The rest is reserved, and 127 ms by the standard.
absl::Duration Separation(uint8_t st_min) {
  if (st_min <= 0x7F) return absl::Milliseconds(st_min);
  if (st_min >= 0xF1 && st_min <= 0xF9) return absl::Microseconds(100) * (st_min - 0xF0);
  return absl::Milliseconds(0x7F);
}

}  // namespace

CanFrame MakeIsoTpSingle(IsoTpId id, std::span<const uint8_t> bytes) {
  FLEET_CHECK(!bytes.empty() && bytes.size() <= kMaxIsoTpSingle) << bytes.size();
  CanFrame frame = MakeFrame(id);
  frame.data[0] = static_cast<uint8_t>(bytes.size());
  std::ranges::copy(bytes, frame.data.begin() + 1);
  return frame;
}

std::optional<std::vector<uint8_t>> IsoTpReceiver::Hear(const CanFrame& frame, MonoTime now,
                                                        std::vector<CanFrame>& send) {
  Tick(now);
  if (!IsTransport(frame) || frame.size == 0) {
    ++counters_.malformed;
    return std::nullopt;
  }
  switch (frame.data[0] >> 4) {
    case kSingle:
      return TakeSingle(frame);
    case kFirst:
      Begin(frame, now, send);
      return std::nullopt;
    case kConsecutive:
      return Continue(frame, now, send);
    case kFlowControl:
      return std::nullopt;  // for a sender of the same id
    default:
      ++counters_.malformed;
      return std::nullopt;
  }
}

void IsoTpReceiver::Tick(MonoTime now) {
  if (!receiving() || now < deadline_) return;
  ++counters_.timed_out;
  Reset();
}

std::optional<std::vector<uint8_t>> IsoTpReceiver::TakeSingle(const CanFrame& frame) {
  const size_t size = frame.data[0] & 0x0F;
  if (size == 0 || size > kMaxIsoTpSingle || size >= frame.size) {
    ++counters_.malformed;
    return std::nullopt;
  }
  Interrupt();
  ++counters_.messages;
  return std::vector<uint8_t>(frame.data.begin() + 1, frame.data.begin() + 1 + static_cast<ptrdiff_t>(size));
}

void IsoTpReceiver::Begin(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send) {
  const size_t size = static_cast<size_t>(frame.data[0] & 0x0F) << 8 | frame.data[1];
  const bool is_longer_form = size == 0;
  if (frame.size != kMaxClassicCanBytes || (size <= kMaxIsoTpSingle && !is_longer_form)) {
    ++counters_.malformed;
    return;
  }
  Interrupt();
  if (is_longer_form || size > options_.max_bytes) {
    ++counters_.too_long;
    send.push_back(FlowControl(kOverflow));
    return;
  }
  message_.assign(frame.data.begin() + 2, frame.data.begin() + kMaxClassicCanBytes);
  wanted_ = size;
  next_ = 1;
  in_block_ = 0;
  deadline_ = now + kIsoTpTimeout;
  send.push_back(FlowControl(kClearToSend));
}

std::optional<std::vector<uint8_t>> IsoTpReceiver::Continue(const CanFrame& frame, MonoTime now,
                                                            std::vector<CanFrame>& send) {
  if (!receiving()) return std::nullopt;
  const size_t bytes = std::min(kConsecutiveBytes, wanted_ - message_.size());
  if ((frame.data[0] & 0x0F) != next_ || frame.size < 1 + bytes) {
    ++((frame.data[0] & 0x0F) != next_ ? counters_.out_of_sequence : counters_.malformed);
    Reset();
    return std::nullopt;
  }
  message_.insert(message_.end(), frame.data.begin() + 1, frame.data.begin() + 1 + static_cast<ptrdiff_t>(bytes));
  next_ = (next_ + 1) & 0x0F;
  deadline_ = now + kIsoTpTimeout;
  if (message_.size() == wanted_) {
    Reset();
    ++counters_.messages;
    return std::move(message_);
  }
  if (options_.block_size > 0 && ++in_block_ == options_.block_size) {
    in_block_ = 0;
    send.push_back(FlowControl(kClearToSend));
  }
  return std::nullopt;
}

void IsoTpReceiver::Interrupt() {
  if (receiving()) ++counters_.interrupted;
  Reset();
}

CanFrame IsoTpReceiver::FlowControl(uint8_t status) const {
  CanFrame frame = MakeFrame(options_.answer);
  frame.data[0] = kFlowControl << 4 | status;
  frame.data[1] = options_.block_size;
  frame.data[2] = options_.separation;
  return frame;
}

absl::Status IsoTpSender::Send(std::vector<uint8_t> message, MonoTime now, std::vector<CanFrame>& send) {
  if (busy()) return absl::FailedPreconditionError("another message is being sent");
  if (message.empty() || message.size() > kMaxIsoTpBytes) return absl::InvalidArgumentError("1 to 4095 bytes");
  result_ = absl::OkStatus();
  if (message.size() <= kMaxIsoTpSingle) {
    send.push_back(MakeIsoTpSingle(id_, message));
    return absl::OkStatus();
  }
  message_ = std::move(message);
  CanFrame frame = MakeFrame(id_);
  frame.data[0] = static_cast<uint8_t>(kFirst << 4 | message_.size() >> 8);
  frame.data[1] = static_cast<uint8_t>(message_.size());
  std::copy_n(message_.begin(), kFirstBytes, frame.data.begin() + 2);
  send.push_back(frame);
  sent_ = kFirstBytes;
  next_ = 1;
  waits_ = 0;
  state_ = State::kWaiting;
  due_ = now + kIsoTpTimeout;
  return absl::OkStatus();
}

void IsoTpSender::Hear(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send) {
  Tick(now, send);
  if (state_ != State::kWaiting || !IsTransport(frame)) return;
  if (frame.size < kFlowControlBytes || frame.data[0] >> 4 != kFlowControl) return;
  switch (frame.data[0] & 0x0F) {
    case kClearToSend:
      state_ = State::kSending;
      left_in_block_ = frame.data[1];
      separation_ = Separation(frame.data[2]);
      due_ = now;
      SendDue(now, send);
      return;
    case kWait:
      if (++waits_ > kMaxWaits) return End(absl::AbortedError("the receiver never gets ready"));
      due_ = now + kIsoTpTimeout;
      return;
    case kOverflow:
      return End(absl::ResourceExhaustedError("the receiver has no room for the message"));
    default:
      return End(absl::AbortedError("flow control that does not exist"));
  }
}

void IsoTpSender::Tick(MonoTime now, std::vector<CanFrame>& send) {
  if (!busy() || now < due_) return;
  if (state_ == State::kWaiting) return End(absl::DeadlineExceededError("no flow control"));
  SendDue(now, send);
}

void IsoTpSender::End(absl::Status result) {
  result_ = std::move(result);
  state_ = State::kIdle;
}

void IsoTpSender::SendDue(MonoTime now, std::vector<CanFrame>& send) {
  for (int burst = 0; burst < kBurst; ++burst) {
    CanFrame frame = MakeFrame(id_);
    const size_t bytes = std::min(kConsecutiveBytes, message_.size() - sent_);
    frame.data[0] = static_cast<uint8_t>(kConsecutive << 4 | next_);
    std::copy_n(message_.begin() + static_cast<ptrdiff_t>(sent_), bytes, frame.data.begin() + 1);
    send.push_back(frame);
    sent_ += bytes;
    next_ = (next_ + 1) & 0x0F;
    if (sent_ == message_.size()) return End(absl::OkStatus());
    if (left_in_block_ > 0 && --left_in_block_ == 0) {
      state_ = State::kWaiting;
      waits_ = 0;
      due_ = now + kIsoTpTimeout;
      return;
    }
    if (separation_ > absl::ZeroDuration()) break;
  }
  due_ = now + separation_;
}

}  // namespace fleet::device
