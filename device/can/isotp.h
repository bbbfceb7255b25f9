// Messages of up to 4095 bytes over classic CAN: ISO 15765-2 with normal addressing, one class for each direction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/can/can_frame.h"
#include "common/clock.h"

namespace fleet::device {

inline constexpr size_t kMaxIsoTpBytes = 4095;  // 12 bits; the longer form of 2016 is refused as an overflow
inline constexpr size_t kMaxIsoTpSingle = 7;
// Whatever we send has 8 bytes, as ISO 15765-4 demands. The rest is 0xCC, which ISO 15765-2 (2016, 10.4.2.1) advises:
// no bit of it is ever stuffed. What others pad with, or whether they do, does not matter.
inline constexpr uint8_t kIsoTpPadding = 0xCC;
inline constexpr absl::Duration kIsoTpTimeout = absl::Seconds(1);  // N_Bs and N_Cr

struct IsoTpId {
  uint32_t id = 0;
  bool extended = false;
};

// `bytes`: 1 to 7.
CanFrame MakeIsoTpSingle(IsoTpId id, std::span<const uint8_t> bytes);

struct IsoTpReceiverOptions {
  IsoTpId answer;                     // of our flow control
  size_t max_bytes = kMaxIsoTpBytes;  // a longer message is refused before it begins
  uint8_t block_size = 0;             // consecutive frames until the next flow control; 0: all
  uint8_t separation = 0;             // STmin as it is on the wire
};

// Puts messages together that come with one id.
//
//   Idle --first frame: flow control--> Receiving --last consecutive frame: message--> Idle
//                                       Receiving --wrong number, bad size, 1 s of silence--> Idle
//
// A new message while one is being received takes its place, as the standard says. Consecutive frames that nobody
// announced are passed over.
// Pure. Bound: one message.
class IsoTpReceiver {
 public:
  explicit IsoTpReceiver(IsoTpReceiverOptions options) : options_(options) {}

  // `frame` has the id that we listen to. A message when it is complete; flow control is appended to `send`.
  std::optional<std::vector<uint8_t>> Hear(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send);
  // Gives up what has been silent for too long.
  void Tick(MonoTime now);
  MonoTime NextDue() const { return wanted_ > 0 ? deadline_ : MonoTime::Max(); }
  void Reset() { wanted_ = 0; }

  bool receiving() const { return wanted_ > 0; }

  struct Counters {
    uint64_t messages = 0;
    uint64_t malformed = 0;        // frames that no sender makes
    uint64_t out_of_sequence = 0;  // messages lost by it, and likewise below
    uint64_t interrupted = 0;
    uint64_t timed_out = 0;
    uint64_t too_long = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  std::optional<std::vector<uint8_t>> TakeSingle(const CanFrame& frame);
  void Begin(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send);
  std::optional<std::vector<uint8_t>> Continue(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send);
  void Interrupt();
  CanFrame FlowControl(uint8_t status) const;

  IsoTpReceiverOptions options_;
  std::vector<uint8_t> message_;
  size_t wanted_ = 0;  // bytes in all; 0: idle
  uint8_t next_ = 0;   // sequence number
  uint8_t in_block_ = 0;
  MonoTime deadline_;
  Counters counters_;
};

// Takes messages apart that go out with one id.
//
//   Idle --Send of up to 7 bytes--> Idle       Idle --Send--> Waiting --clear to send--> Sending --last frame--> Idle
//   Waiting --1 s without flow control, overflow, kMaxWaits of "wait"--> Idle         Sending --block over--> Waiting
//
// Pure. Bounds: one message, kBurst frames in one call.
class IsoTpSender {
 public:
  static constexpr int kBurst = 16;
  static constexpr int kMaxWaits = 16;

  explicit IsoTpSender(IsoTpId id) : id_(id) {}

  // kInvalidArgument: no or too many bytes; kFailedPrecondition: still busy with another.
  absl::Status Send(std::vector<uint8_t> message, MonoTime now, std::vector<CanFrame>& send);
  // `frame` has the id that the receiver of our messages answers with. What is not flow control is passed over.
  void Hear(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send);
  void Tick(MonoTime now, std::vector<CanFrame>& send);
  MonoTime NextDue() const { return busy() ? due_ : MonoTime::Max(); }

  bool busy() const { return state_ != State::kIdle; }
  // Of the last message: OK when all of it was given out; kDeadlineExceeded, kResourceExhausted (the receiver has no
  // room), kAborted (it does not keep to the standard).
  const absl::Status& result() const { return result_; }

 private:
  enum class State : uint8_t { kIdle, kWaiting, kSending };
  void End(absl::Status result);
  void SendDue(MonoTime now, std::vector<CanFrame>& send);

  const IsoTpId id_;
  std::vector<uint8_t> message_;
  size_t sent_ = 0;
  State state_ = State::kIdle;
  uint8_t next_ = 0;       // sequence number
  int left_in_block_ = 0;  // 0: no end
  int waits_ = 0;
  absl::Duration separation_;
  MonoTime due_;  // kWaiting: patience is over; kSending: of the next frame
  absl::Status result_;
};

}  // namespace fleet::device
