#include "device/modbus/modbus_port.h"

#include <utility>

namespace fleet::device {

ModbusPort::ModbusPort(size_t bus, std::vector<std::unique_ptr<Worker>> workers,
                       std::function<void(ModbusDone)> on_done)
    : bus_(bus), workers_(std::move(workers)), on_done_(std::move(on_done)) {
  for (const auto& worker : workers_) threads_.emplace_back([this, w = worker.get()] { Run(*w); });
}

ModbusPort::~ModbusPort() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  for (const auto& worker : workers_) worker->Interrupt();
  for (std::thread& thread : threads_) thread.join();
}

void ModbusPort::Start(ModbusJob job) {
  MutexLock lock(mu_);
  waiting_.push_back(std::move(job));
  changed_.NotifyOne();
}

void ModbusPort::Run(Worker& worker) {
  while (true) {
    ModbusJob job;
    {
      MutexLock lock(mu_);
      while (waiting_.empty() && !stopping_) changed_.Wait(mu_);
      if (stopping_) return;
      job = std::move(waiting_.front());
      waiting_.pop_front();
    }
    const MonoTime began = clock_.Read().mono;
    auto reply = worker.Do(job);
    on_done_({.bus = bus_, .number = job.number, .reply = std::move(reply), .took = clock_.Read().mono - began});
  }
}

}  // namespace fleet::device
