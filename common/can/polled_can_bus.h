// What buses on a file descriptor share: the waiting.
#pragma once

#include <string>
#include <vector>

#include "common/can/can_bus.h"
#include "common/clock.h"

namespace fleet {

class PolledCanBus : public CanBus {
 public:
  PolledCanBus();
  ~PolledCanBus() override;
  PolledCanBus(const PolledCanBus&) = delete;
  PolledCanBus& operator=(const PolledCanBus&) = delete;

  void Read(absl::Duration timeout, std::vector<CanFrame>& out) final;
  void Wake() final;
  CanBusReport report() const final { return report_; }

 protected:
  // What the next Turn waits for: events of poll(2) on `fd`, -1 for none, or a time.
  struct Pause {
    int fd = -1;
    short events = 0;
    MonoTime due = MonoTime::Max();
  };

  // Does what there is to do without waiting: opens, hears, gives up. Appends at most kMaxRead frames.
  virtual Pause Turn(const Now& now, std::vector<CanFrame>& out) = 0;

  Now Time() const { return clock_.Read(); }
  void Up();
  void Down(std::string problem);

  CanBusReport report_;

 private:
  // True: somebody called Wake.
  bool Wait(const Pause& pause, absl::Duration timeout);

  const SystemClock clock_;
  const int wake_fd_;
  bool told_up_ = false;  // what the last Read left its caller with
};

// Waits for `events` on `fd`; -1: only for the time to pass.
void WaitForFd(int fd, short events, absl::Duration timeout);

// kInvalidArgument: `frame` is of FD, or an error frame, and slcan has no words for it.
absl::Status CheckClassicCanFrame(const CanFrame& frame);

}  // namespace fleet
