#include "device/spool.h"

#include <utility>

namespace fleet::device {

Spool::Spool(std::unique_ptr<SpoolFile> file, const Clock& clock, std::function<void(SpoolDone)> done)
    : file_(std::move(file)), clock_(clock), done_(std::move(done)), thread_([this] { Run(); }) {}

Spool::~Spool() {
  Stop();
}

void Spool::Push(SpoolWork work) {
  {
    MutexLock lock(mu_);
    if (waiting_.size() < kMaxWaiting && !stopping_) {
      waiting_.push_back(std::move(work));
      pushed_.NotifyOne();
      return;
    }
  }
  for (StreamBatch& batch : work.put) batch.payload.clear();
  SpoolDone refused;
  refused.number = work.number;
  refused.status = absl::ResourceExhaustedError("the disk is too slow: too much waits for it");
  refused.asked = std::move(work);
  done_(std::move(refused));
}

void Spool::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    pushed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void Spool::Run() {
  while (true) {
    std::vector<SpoolWork> works;
    {
      MutexLock lock(mu_);
      while (waiting_.empty() && !stopping_) pushed_.Wait(mu_);
      if (waiting_.empty()) return;
      works.swap(waiting_);
    }
    for (SpoolDone& done : file_->DoAll(std::move(works), clock_.Read().unix_ms())) done_(std::move(done));
  }
}

}  // namespace fleet::device
