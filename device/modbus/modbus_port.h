// One bus with the threads that wait for it.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "device/modbus/modbus_job.h"
#include "device/modbus/modbus_plan.h"

namespace fleet::device {

// Does the jobs that it is given, in their order, as many at a time as it has workers, and hands back what became of
// each. Nothing is kept back: whoever gives jobs bounds them.
class ModbusPort {
 public:
  // What one thread does its jobs with. A bus with in_flight connections has so many.
  class Worker {
   public:
    virtual ~Worker() = default;
    virtual std::variant<ModbusReply, WebReply> Do(const ModbusJob& job) = 0;
    virtual void Interrupt() = 0;  // any thread, as ModbusBus
  };

  // `on_done` runs on threads of the port, several at once.
  ModbusPort(size_t bus, std::vector<std::unique_ptr<Worker>> workers, std::function<void(ModbusDone)> on_done);
  ~ModbusPort();  // interrupts what runs, drops what waits, ends the threads

  // Any thread; never blocks.
  void Start(ModbusJob job);

 private:
  void Run(Worker& worker);

  const size_t bus_;
  const std::vector<std::unique_ptr<Worker>> workers_;
  const std::function<void(ModbusDone)> on_done_;
  const SystemClock clock_{};
  Mutex mu_;
  CondVar changed_;
  std::deque<ModbusJob> waiting_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

// The workers of a planned bus: LibmodbusBus, or HTTP; of a web bridge one more than in_flight, for its state.
std::vector<std::unique_ptr<ModbusPort::Worker>> MakeModbusWorkers(const ModbusBusPlan& plan);
std::unique_ptr<ModbusPort::Worker> WorkerOf(std::unique_ptr<ModbusBus> bus);

}  // namespace fleet::device
