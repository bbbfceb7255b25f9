#include "common/can/testing/memory_can_bus.h"

#include <algorithm>
#include <deque>
#include <utility>

namespace fleet {
namespace {

constexpr uint32_t kBusOffClass = 0x40;  // CAN_ERR_BUSOFF of linux/can/error.h
constexpr uint8_t kErrorBytes = 8;       // CAN_ERR_DLC

}  // namespace

class MemoryCanBus : public CanBus {
 public:
  MemoryCanBus(MemoryCanNetwork& network, MemoryCanOptions options) : network_(network), options_(options) {
    MutexLock lock(network_.mu_);
    network_.buses_.push_back(this);
  }
  ~MemoryCanBus() override {
    MutexLock lock(network_.mu_);
    std::erase(network_.buses_, this);
  }

  void Read(absl::Duration timeout, std::vector<CanFrame>& out) override {
    MutexLock lock(network_.mu_);
    const MonoTime began = network_.clock_.Read().mono;
    absl::Duration left = timeout;
    while (waiting_.empty() && !woken_ && left > absl::ZeroDuration()) {
      network_.changed_.WaitFor(network_.mu_, left);
      left = timeout - (network_.clock_.Read().mono - began);
    }
    woken_ = false;
    const auto end = waiting_.begin() + static_cast<ptrdiff_t>(std::min(waiting_.size(), kMaxRead));
    out.insert(out.end(), waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
  }

  absl::Status Write(const CanFrame& frame) override {
    if (options_.listen_only) return absl::FailedPreconditionError("the bus is only listened to");
    if (frame.is(kCanFd) && !options_.fd) return absl::InvalidArgumentError("the bus carries no FD frames");
    if (frame.is(kCanError)) return absl::InvalidArgumentError("nobody sends error frames");
    CanFrame stamped = frame;
    stamped.at_unix_us = absl::ToUnixMicros(network_.clock_.Read().wall);
    MutexLock lock(network_.mu_);
    if (!network_.up_) return absl::UnavailableError(network_.problem_);
    if (network_.full_) return absl::UnavailableError("the buffer of the bus is full");
    network_.Deliver(stamped, this);
    return absl::OkStatus();
  }

  void Wake() override {
    MutexLock lock(network_.mu_);
    WakeLocked();
  }

  CanBusReport report() const override {
    MutexLock lock(network_.mu_);
    CanBusReport report = counted_;
    report.up = network_.up_;
    report.problem = network_.problem_;
    return report;
  }

  // What the network does, under its lock.
  void WakeLocked() {
    woken_ = true;
    network_.changed_.NotifyAll();
  }
  void Hear(const CanFrame& frame) {
    if (frame.is(kCanFd) && !options_.fd) return;
    if (frame.is(kCanError)) ++counted_.error_frames;
    if (frame.is(kCanError) && (frame.id & kBusOffClass) != 0) ++counted_.bus_off;
    if (waiting_.size() == MemoryCanNetwork::kMaxWaiting) {
      ++counted_.lost;
    } else {
      waiting_.push_back(frame);
    }
  }

 private:
  MemoryCanNetwork& network_;
  const MemoryCanOptions options_;
  // Under the network's lock.
  std::deque<CanFrame> waiting_;
  CanBusReport counted_;
  bool woken_ = false;
};

std::unique_ptr<CanBus> MemoryCanNetwork::Attach(MemoryCanOptions options) {
  return std::make_unique<MemoryCanBus>(*this, options);
}

void MemoryCanNetwork::Put(const CanFrame& frame) {
  MutexLock lock(mu_);
  if (up_) Deliver(frame, nullptr);
}

void MemoryCanNetwork::TakeDown(std::string why) {
  MutexLock lock(mu_);
  SetUp(false, std::move(why));
}

void MemoryCanNetwork::BringUp() {
  MutexLock lock(mu_);
  SetUp(true, "");
}

void MemoryCanNetwork::Fill() {
  MutexLock lock(mu_);
  full_ = true;
}

void MemoryCanNetwork::Drain() {
  MutexLock lock(mu_);
  full_ = false;
}

void MemoryCanNetwork::ReportError(uint32_t error_class) {
  MutexLock lock(mu_);
  CanFrame frame;
  frame.at_unix_us = absl::ToUnixMicros(clock_.Read().wall);
  frame.id = error_class;
  frame.flags = kCanError;
  frame.size = kErrorBytes;
  Deliver(frame, nullptr);
  if ((error_class & kBusOffClass) != 0) SetUp(false, "bus-off: the controller has left the bus");
}

void MemoryCanNetwork::Deliver(const CanFrame& frame, const MemoryCanBus* writer) {
  for (MemoryCanBus* bus : buses_) {
    if (bus != writer) bus->Hear(frame);
  }
  changed_.NotifyAll();
}

void MemoryCanNetwork::SetUp(bool up, std::string problem) {
  up_ = up;
  problem_ = std::move(problem);
  for (MemoryCanBus* bus : buses_) bus->WakeLocked();
}

}  // namespace fleet
