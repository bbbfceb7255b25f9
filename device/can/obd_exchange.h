// One OBD-II request at a time to all controllers of a bus, and what they answer: ids, transport, refusals, time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/can/can_frame.h"
#include "common/clock.h"
#include "device/can/isotp.h"

namespace fleet::device {

struct ObdAnswer {
  uint32_t ecu = 0;              // id that it answers with
  std::vector<uint8_t> message;  // 1 to 4095 bytes, no refusal
};

// A request goes to the functional id (7DF, 18DB33F1). It is over when everybody who is expected has answered, or when
// patience is over and nobody is in the middle of something. Patience is 250 ms, five times what ISO 15765-4 gives the
// controllers, and doubles up to 1 s when answers come later than that. "Response pending" (7F nn 78) gives 5 s more
// each time. Nothing lasts longer than kLongest.
//
// What comes unasked is left alone, flow control included: another tester may be talking.
//
// Pure. Bounds: kMaxEcus controllers, further ones are counted and not heard; one message of each.
class ObdExchange {
 public:
  static constexpr size_t kMaxEcus = 16;
  static constexpr absl::Duration kPatience = absl::Milliseconds(250);
  static constexpr absl::Duration kMaxPatience = absl::Seconds(1);
  static constexpr absl::Duration kPending = absl::Seconds(5);  // P2* of ISO 15765-4
  static constexpr absl::Duration kLongest = absl::Seconds(30);

  enum class Outcome : uint8_t { kSilent, kPending, kAnswered, kRefused };
  struct Controller {
    uint32_t id = 0;
    IsoTpReceiver receiver;
    // Of the last request.
    bool expected = false;
    Outcome outcome = Outcome::kSilent;
    uint8_t refusal = 0;  // the negative response code
    MonoTime pending_until;
  };

  // `extended`: 29-bit ids.
  explicit ObdExchange(bool extended) : extended_(extended) {}

  // `request`: 1 to 7 bytes. `expected`: ids of those who should answer; none: nobody knows, and it lasts for the whole
  // of patience. What was under way is given up.
  void Begin(std::vector<uint8_t> request, std::span<const uint32_t> expected, MonoTime now,
             std::vector<CanFrame>& send);
  void GiveUp();

  // Any frame of the bus. A positive answer to the service that was asked for, when it is complete; the caller says by
  // Accept or Discard whether it fits in all.
  std::optional<ObdAnswer> Hear(const CanFrame& frame, MonoTime now, std::vector<CanFrame>& send);
  void Accept(uint32_t ecu);
  void Discard();

  // True once for each request: it is over, and the controllers say how it went.
  bool TakeEnd(MonoTime now);
  // When to call TakeEnd, if nothing is heard until then.
  MonoTime NextDue() const;
  bool busy() const { return busy_; }

  const std::vector<uint8_t>& request() const { return request_; }             // the last one
  const std::vector<Controller>& controllers() const { return controllers_; }  // by id; all that ever answered
  bool answered() const;                                                       // by anybody, with whatever

  void ForgetLateness() { patience_ = kPatience; }

  struct Counters {
    uint64_t requests = 0;
    uint64_t unanswered = 0;  // requests that nobody answered
    uint64_t answers = 0;     // messages that were accepted
    uint64_t misfits = 0;     // messages discarded whole: too late, another length, or not what was asked
    uint64_t refusals = 0;    // without "pending"
    uint64_t transport = 0;   // messages lost by ISO-TP: sequence, silence, size
    uint64_t too_many = 0;    // frames of controllers beyond kMaxEcus
  };
  Counters counters() const;

 private:
  bool IsAnswerId(const CanFrame& frame) const;
  IsoTpId FlowControlId(uint32_t answer_id) const;
  Controller* Find(uint32_t id, bool may_be_new);
  void TakeRefusal(Controller& controller, std::span<const uint8_t> message, MonoTime now);

  const bool extended_;
  std::vector<Controller> controllers_;
  std::vector<uint8_t> request_;
  bool busy_ = false;
  MonoTime begun_;
  absl::Duration patience_ = kPatience;
  Counters counters_;
};

// "7E8"; "18DAF110"
std::string ObdEcuText(uint32_t ecu);

}  // namespace fleet::device
