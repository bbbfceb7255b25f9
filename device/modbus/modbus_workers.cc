#include <utility>

#include "common/http_client.h"
#include "common/status_macros.h"
#include "device/modbus/libmodbus_bus.h"
#include "device/modbus/modbus_port.h"

namespace fleet::device {
namespace {

class BusWorker : public ModbusPort::Worker {
 public:
  explicit BusWorker(std::unique_ptr<ModbusBus> bus) : bus_(std::move(bus)) {}

  std::variant<ModbusReply, WebReply> Do(const ModbusJob& job) override {
    const auto* transaction = std::get_if<ModbusTransaction>(&job.call);
    FLEET_CHECK(transaction != nullptr) << "a web call for a bus that is none";
    return bus_->Execute(*transaction, job.timeout);
  }
  void Interrupt() override { bus_->Interrupt(); }

 private:
  const std::unique_ptr<ModbusBus> bus_;
};

class WebWorker : public ModbusPort::Worker {
 public:
  explicit WebWorker(const ModbusBusPlan& plan) : client_(plan.host, plan.port) {}

  std::variant<ModbusReply, WebReply> Do(const ModbusJob& job) override {
    const auto* call = std::get_if<WebCall>(&job.call);
    FLEET_CHECK(call != nullptr) << "a transaction for a web bridge";
    absl::StatusOr<HttpAnswer> answer = client_.Get(call->target, job.timeout);
    if (answer.ok()) return WebReply{.status = answer->status, .body = std::move(answer->body)};
    return WebReply{.timed_out = absl::IsDeadlineExceeded(answer.status()),
                    .was_sent = !absl::IsUnavailable(answer.status()),
                    .detail = std::string(answer.status().message())};
  }
  void Interrupt() override { client_.Interrupt(); }

 private:
  HttpClient client_;
};

}  // namespace

std::vector<std::unique_ptr<ModbusPort::Worker>> MakeModbusWorkers(const ModbusBusPlan& plan) {
  std::vector<std::unique_ptr<ModbusPort::Worker>> workers;
  const bool is_web = plan.kind == ModbusKind::kWeb;
  for (int i = 0; i < plan.in_flight + (is_web ? 1 : 0); ++i) {
    if (is_web) {
      workers.push_back(std::make_unique<WebWorker>(plan));
    } else {
      workers.push_back(WorkerOf(MakeLibmodbusBus(plan)));
    }
  }
  return workers;
}

std::unique_ptr<ModbusPort::Worker> WorkerOf(std::unique_ptr<ModbusBus> bus) {
  return std::make_unique<BusWorker>(std::move(bus));
}

}  // namespace fleet::device
