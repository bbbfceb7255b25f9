// Joins a CAN bus of this machine with one in a vehicle. What is on either goes to the other; what we wrote is not read
// back from the one, and the tap of the other leaves out what its device sent, so there is no echo.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/can/can_bus.h"
#include "common/can/can_port.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "fleet/v1/api.pb.h"

namespace fleet {

// Frames for the vehicle wait for kGather or until there are kMaxBatch, and go out in order, one batch at a time; what
// has waited longer than kStale does not go out any more. A frame that the device says is not allowed is left out of
// its batch, and so are others of its id for kRefused; the rest of the batch is sent again, because nothing of it was.
//
// Batches go out every kTurn on average, because a device remembers each for more than a minute and has room for a few
// thousand. Up to kTurnsAhead may go before their turn, so that a dialogue does not wait.
//
// Threads: that of the CanPort, one that sends, and whoever calls Write. Bounds: kMaxWaiting frames each way and a
// batch, newer ones are counted; kMaxRefused ids, then all are forgotten.
class CanBridge {
 public:
  static constexpr size_t kMaxBatch = 64;  // of a CanSend
  static constexpr size_t kMaxWaiting = CanPort::kMaxFrames;
  static constexpr size_t kMaxRefused = 4096;
  static constexpr absl::Duration kGather = absl::Milliseconds(8);  // 10 ms with what the port gathers
  static constexpr absl::Duration kTurn = absl::Milliseconds(40);
  static constexpr int kTurnsAhead = 25;
  static constexpr absl::Duration kStale = absl::Seconds(1);
  static constexpr absl::Duration kRefused = absl::Seconds(10);
  static constexpr absl::Duration kSayAgain = absl::Seconds(1);

  struct Counts {
    uint64_t written = 0;    // to the bus here
    uint64_t unwritten = 0;  // came from the vehicle, and the bus here did not take them
    uint64_t sent = 0;       // to the vehicle
    uint64_t unsent = 0;     // were on the bus here, and the vehicle did not get them
  };

  // Sends 1 to kMaxBatch frames and waits for the end of that command; kCancelled: we end. On the sending thread.
  using Send = std::function<absl::StatusOr<v1::CommandView>(const std::vector<CanFrame>& frames)>;
  // Tells the operator. On any thread; must not call us.
  using Say = std::function<void(absl::string_view text)>;

  // `place`: what the bus here is called.
  CanBridge(std::string place, std::unique_ptr<CanBus> bus, Send send, Say say, absl::Duration stale = kStale);
  ~CanBridge();  // waits for a Send that is under way; what waits is not sent

  // Frames of the vehicle's bus, in order. Error frames are left out.
  void Write(const std::vector<CanFrame>& frames);

  Counts counts() const;

 private:
  struct Waiting {
    MonoTime since;
    CanFrame frame;
  };
  struct Refusal {
    MonoTime until;
    std::string why;
  };
  // What is not taken is told at most every kSayAgain, with how many frames it was since then.
  struct Complaint {
    const char* what;
    uint64_t untold = 0;
    MonoTime next;
  };
  using IdKey = std::pair<bool, uint32_t>;  // extended, id
  static IdKey KeyOf(const CanFrame& frame) { return {frame.is(kCanExtended), frame.id}; }

  // Towards the bus here.
  void HearPort();
  void HearReport(const CanBusReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HearOutcome(CanOutcome& outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OrderNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unwritten(uint64_t frames, absl::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Towards the vehicle.
  void Queue(const std::vector<CanFrame>& frames) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendAll();
  std::vector<Waiting> AwaitBatch();
  MonoTime NextDue(MonoTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Waiting> TakeBatch(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendBatch(std::vector<Waiting> batch);
  size_t LeaveOut(const v1::CommandView& command, std::vector<Waiting>& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unsent(uint64_t frames, absl::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Complain(Complaint& complaint, uint64_t frames, absl::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string place_;
  const Send send_;
  const Say say_;
  const absl::Duration stale_;
  const SystemClock clock_{};
  mutable Mutex mu_;
  CondVar changed_;
  std::unique_ptr<CanPort> port_ ABSL_GUARDED_BY(mu_);  // null: we end
  CanNews news_ ABSL_GUARDED_BY(mu_);
  std::optional<CanBusReport> report_ ABSL_GUARDED_BY(mu_);  // nullopt: none yet
  uint64_t lost_ ABSL_GUARDED_BY(mu_) = 0;                   // of the bus here, before we had them
  bool ordered_ ABSL_GUARDED_BY(mu_) = false;                // one order at a time, so that order is kept
  std::deque<CanFrame> to_bus_ ABSL_GUARDED_BY(mu_);
  std::deque<Waiting> to_vehicle_ ABSL_GUARDED_BY(mu_);
  MonoTime turn_ ABSL_GUARDED_BY(mu_);  // of the next batch
  std::map<IdKey, Refusal> refused_ ABSL_GUARDED_BY(mu_);
  Counts counts_ ABSL_GUARDED_BY(mu_);
  Complaint unwritten_ ABSL_GUARDED_BY(mu_) = {.what = "not written to "};
  Complaint unsent_ ABSL_GUARDED_BY(mu_) = {.what = "not sent from "};
  std::thread sender_;
};

}  // namespace fleet
