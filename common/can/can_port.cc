#include "common/can/can_port.h"

#include <algorithm>
#include <utility>

namespace fleet {
namespace {

constexpr absl::Duration kHeldUp = absl::Milliseconds(20);  // then what has come is read, before more is sent
constexpr absl::Duration kIdle = absl::Milliseconds(500);   // how late a report may be when nothing happens

}  // namespace

CanPort::CanPort(std::string name, std::unique_ptr<CanBus> bus, std::function<void()> on_news)
    : name_(std::move(name)), bus_(std::move(bus)), on_news_(std::move(on_news)), thread_([this] { Run(); }) {}

CanPort::~CanPort() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  bus_->Wake();
  thread_.join();
}

bool CanPort::Send(CanOrder order) {
  {
    MutexLock lock(mu_);
    if (open_orders_ == kMaxOrders) return false;
    ++open_orders_;
    orders_.push_back(std::move(order));
    changed_.NotifyAll();
  }
  bus_->Wake();
  return true;
}

bool CanPort::Take(CanNews& news) {
  news.Clear();
  MutexLock lock(mu_);
  std::swap(news.frames, news_.frames);
  std::swap(news.outcomes, news_.outcomes);
  open_orders_ -= news.outcomes.size();
  news.report = news_.report;
  news.dropped = news_.dropped;
  return std::exchange(has_news_, false);
}

// A bus that takes nothing may hold each frame up for 20 ms, so it is read in between.
void CanPort::Run() {
  std::vector<CanFrame> frames;
  Keep(frames, std::nullopt);  // is it up?
  while (true) {
    std::optional<CanOutcome> outcome = SendNext();
    const bool is_sending = outcome || sending_;
    frames.clear();
    bus_->Read(is_sending ? absl::ZeroDuration() : kIdle, frames);
    if (!is_sending && !frames.empty() && frames.size() < CanBus::kMaxRead) {
      Gather();
      bus_->Read(absl::ZeroDuration(), frames);
    }
    Keep(frames, std::move(outcome));
    MutexLock lock(mu_);
    if (stopping_) return;
  }
}

// The outcome of an order when it is over. One that the bus holds up goes on after the next Read.
std::optional<CanOutcome> CanPort::SendNext() {
  {
    MutexLock lock(mu_);
    if (stopping_ || (!sending_ && orders_.empty())) return std::nullopt;
    if (!sending_) {
      sending_.emplace(CanOutcome{.order = std::move(orders_.front())});
      orders_.pop_front();
    }
  }
  const MonoTime began = clock_.Read().mono;
  while (sending_->sent < sending_->order.frames.size()) {
    const Now now = clock_.Read();
    if (now.mono - began >= kHeldUp) return std::nullopt;
    if (now.mono >= sending_->order.not_after) {
      sending_->status = absl::DeadlineExceededError("its time to live was over");
      break;
    }
    CanFrame& frame = sending_->order.frames[sending_->sent];
    sending_->status = bus_->Write(frame);
    if (!sending_->status.ok()) break;
    frame.at_unix_us = absl::ToUnixMicros(clock_.Read().wall);
    frame.flags |= kCanSent;
    ++sending_->sent;
  }
  return std::exchange(sending_, std::nullopt);
}

// Lets frames come, unless there is something else to do.
void CanPort::Gather() {
  const MonoTime until = clock_.Read().mono + kGather;
  MutexLock lock(mu_);
  while (orders_.empty() && !stopping_) {
    const absl::Duration left = until - clock_.Read().mono;
    if (left <= absl::ZeroDuration()) return;
    changed_.WaitFor(mu_, left);
  }
}

void CanPort::Keep(const std::vector<CanFrame>& frames, std::optional<CanOutcome> outcome) {
  CanBusReport report = bus_->report();
  {
    MutexLock lock(mu_);
    const size_t kept = std::min(frames.size(), kMaxFrames - news_.frames.size());
    news_.frames.insert(news_.frames.end(), frames.begin(), frames.begin() + static_cast<ptrdiff_t>(kept));
    news_.dropped += frames.size() - kept;
    const bool any = !frames.empty() || outcome || report != news_.report;
    if (outcome) news_.outcomes.push_back(*std::move(outcome));
    news_.report = std::move(report);
    if (!any || has_news_) return;
    has_news_ = true;
  }
  on_news_();
}

}  // namespace fleet
