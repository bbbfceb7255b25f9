#include "device/modbus/modbus_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "common/http_server.h"
#include "common/interruption.h"
#include "device/modbus/testing/memory_modbus_bus.h"

namespace fleet::device {
namespace {

using Outcome = ModbusReply::Outcome;
using testing::ElementsAre;

constexpr absl::Duration kPatience = absl::Seconds(30);

// The loop's side of a port.
class Loop {
 public:
  std::function<void(ModbusDone)> on_done() {
    return [this](ModbusDone done) {
      MutexLock lock(mu_);
      done_.push_back(std::move(done));
      changed_.NotifyAll();
    };
  }
  // What is done when there is so much of it, in the order in which it was done.
  std::vector<ModbusDone> Take(size_t count) {
    MutexLock lock(mu_);
    while (done_.size() < count) changed_.Wait(mu_);
    return std::exchange(done_, {});
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<ModbusDone> done_ ABSL_GUARDED_BY(mu_);
};

// Has a job and is not done with it until the test lets it.
class HeldWorker : public ModbusPort::Worker {
 public:
  struct Gate {
    Interruption began, go;
  };
  explicit HeldWorker(Gate& gate) : gate_(gate) {}
  std::variant<ModbusReply, WebReply> Do(const ModbusJob&) override {
    gate_.began.Raise();
    gate_.go.Wait(-1, 0, absl::Hours(1));
    return ModbusReply{.detail = "held"};
  }
  void Interrupt() override { gate_.go.Raise(); }

 private:
  Gate& gate_;
};

template <typename... Worker>
std::vector<std::unique_ptr<ModbusPort::Worker>> Workers(std::unique_ptr<Worker>... worker) {
  std::vector<std::unique_ptr<ModbusPort::Worker>> workers;
  (workers.push_back(std::move(worker)), ...);
  return workers;
}

ModbusJob Job(uint64_t number, uint8_t unit, uint16_t address = 0) {
  return {.number = number, .call = ModbusTransaction{.unit = unit, .address = address}, .timeout = kPatience};
}

TEST(ModbusPort, DoesJobsInTheirOrderAndHandsBackWhatBecameOfThem) {
  MemoryModbusUnits units;
  units.Add(1);
  units.Add(2);
  units.Set(2, MemoryModbusUnits::Manner::kRefuses, 4);
  Loop loop;
  ModbusPort port(3, Workers(WorkerOf(units.Attach())), loop.on_done());
  for (uint64_t i = 0; i < 100; ++i) port.Start(Job(i, 1, static_cast<uint16_t>(i)));
  port.Start(Job(100, 2));
  const std::vector<ModbusDone> all = loop.Take(101);
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(all[i].bus, 3u);
    EXPECT_EQ(all[i].number, i);
    EXPECT_THAT(std::get<ModbusReply>(all[i].reply).words, ElementsAre(1000 + i));
  }
  EXPECT_EQ(std::get<ModbusReply>(all[100].reply).exception, 4);
}

TEST(ModbusPort, SaysHowLongAJobTook) {
  MemoryModbusUnits units;
  Loop loop;
  ModbusPort port(0, Workers(WorkerOf(units.Attach())), loop.on_done());
  const absl::Duration timeout = absl::Milliseconds(20);
  port.Start({.number = 1, .call = ModbusTransaction{.unit = 9}, .timeout = timeout});
  const std::vector<ModbusDone> all = loop.Take(1);
  EXPECT_EQ(std::get<ModbusReply>(all[0].reply).outcome, Outcome::kNoAnswer);
  EXPECT_GE(all[0].took, timeout);
}

TEST(ModbusPort, DoesAsManyAtATimeAsItHasWorkers) {
  MemoryModbusUnits units;
  units.Add(1);
  HeldWorker::Gate gate;
  Loop loop;
  ModbusPort port(0, Workers(std::make_unique<HeldWorker>(gate), WorkerOf(units.Attach())), loop.on_done());
  size_t started = 0, done = 0;
  const auto start_until = [&](size_t open) {
    port.Start(Job(++started, 1));
    while (done + open < started) done += loop.Take(1).size();
  };
  while (!gate.began.raised()) start_until(1);
  for (int i = 0; i < 10; ++i) start_until(1);  // the other one does them
  gate.go.Raise();
  EXPECT_EQ(std::get<ModbusReply>(loop.Take(1)[0].reply).detail, "held");
}

TEST(ModbusPort, EndsWhatRunsAndDropsWhatWaits) {
  MemoryModbusUnits units;
  Loop loop;
  {
    ModbusPort port(0, Workers(WorkerOf(units.Attach())), loop.on_done());
    for (uint64_t i = 0; i < 3; ++i) {
      port.Start({.number = i, .call = ModbusTransaction{.unit = 9}, .timeout = absl::Hours(1)});
    }
  }
  EXPECT_LE(units.asked().size(), 1u);
}

TEST(ModbusWorkers, OfAWebBridgeGetAndHaveOneForItsState) {
  auto server = HttpServer::Bind({.listen = "127.0.0.1:0"}).value();
  server->Get("/api/state",
              [](const HttpRequest& request) { return HttpResponse{.status = 404, .body = request.query.at("q")}; });
  server->Start();
  Loop loop;
  auto workers = MakeModbusWorkers(
      {.kind = ModbusKind::kWeb, .host = "127.0.0.1", .port = server->port(), .timeout = kWebTimeout, .in_flight = 2});
  EXPECT_EQ(workers.size(), 3u);
  ModbusPort port(1, std::move(workers), loop.on_done());
  port.Start({.number = 5, .call = WebCall{"/api/state?q=a,b"}, .timeout = kPatience});
  const WebReply reply = std::get<WebReply>(loop.Take(1)[0].reply);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "a,b");
  server.reset();
  port.Start({.number = 6, .call = WebCall{"/api/state"}, .timeout = kPatience});
  const WebReply gone = std::get<WebReply>(loop.Take(1)[0].reply);
  EXPECT_EQ(gone.status, 0);
  EXPECT_FALSE(gone.timed_out);
  EXPECT_NE(gone.detail, "");
}

TEST(ModbusWorkers, OfATcpServerAreItsConnections) {
  EXPECT_EQ(MakeModbusWorkers({.kind = ModbusKind::kTcp, .host = "127.0.0.1", .in_flight = 4}).size(), 4u);
  EXPECT_EQ(MakeModbusWorkers({.kind = ModbusKind::kRtu, .host = "/dev/ttyUSB0"}).size(), 1u);
}

}  // namespace
}  // namespace fleet::device
