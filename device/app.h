// The device program, and what a controller links that wants to be one: the agent, its link, its loop and its local
// API.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/can/can_bus.h"
#include "common/can/can_port.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/logging.h"
#include "common/mqtt_link.h"
#include "common/service_notify.h"
#include "device/health.h"
#include "device/inbox.h"
#include "device/linked_agent.h"
#include "device/local_access.h"
#include "device/local_api.h"
#include "device/modbus/modbus_port.h"
#include "device/spool.h"

namespace fleet::device {

struct AppOptions {
  LinkOptions link;  // where the broker is; the rest comes from the agent
  AgentOptions agent;
  LocalAccess http;                          // empty: no local API
  std::string config_page;                   // what that API shows of the configuration
  std::unique_ptr<SpoolFile> spool;          // null: a restart forgets
  std::string spool_problem;                 // why there is none; becomes an event
  std::vector<std::unique_ptr<CanBus>> can;  // of agent.can, in its order
};

// Wires   link, local API and spool --inbox--> loop --> agent --> link, local API, spool and buses <--> loop.   Threads
// of ours: the loop, the spool's, and those of CAN and Modbus buses; the library behind the link and the HTTP server
// have their own. All but the loop touch nothing but the inbox and the feed.
class App {
 public:
  static constexpr size_t kInboxCapacity = 1024;
  static constexpr absl::Duration kCloseTimeout = absl::Seconds(1);

  // `clock` and `loop` outlive it. Errors as PahoLink::Open and HttpServer::Bind.
  static absl::StatusOr<std::unique_ptr<App>> Open(AppOptions options, const Clock& clock, EventLoop& loop);
  ~App();

  // Runs until the loop is stopped, then brings to the disk what is only in memory and says goodbye. The status of that
  // goodbye.
  absl::Status Run();

  // Any thread; for drivers that know by themselves when a segment has ended. False: full, dropped and counted.
  bool Push(Input input) { return inbox_.Push(0, std::move(input)); }

 private:
  App(AppOptions options, const Clock& clock, EventLoop& loop);
  MonoTime Turn(Now now);
  void OpenSpool(std::unique_ptr<SpoolFile> file);
  void OpenBuses(std::vector<std::unique_ptr<CanBus>> buses, const CanPlan& plan);
  void OpenModbus(const std::vector<ModbusBusPlan>& buses);
  absl::Status OpenApi(LocalApi::Options options);
  LocalApi::Doors ApiDoors();
  v1::DeviceHealth HealthPage(Now now) const;
  std::string Metrics(Now now) const;
  v1::PublishResult Publish(const Input& input, Now now);
  void Write(CanWrite write);
  void HandleInbox(Now now);
  void HandleBuses(Now now);
  void LogBus(size_t bus, MonoTime now);
  void Log(const Input& input, MonoTime now);
  void LogRefusals(MonoTime now);

  const Clock& clock_;
  EventLoop& loop_;
  const MonoTime started_;
  Inbox inbox_;
  Health health_;
  ServiceNotify service_;
  std::unique_ptr<LocalApi> api_;                        // null: none
  std::unique_ptr<Spool> spool_;                         // null: none
  LinkedAgent agent_;                                    // its link stops pushing before the inbox goes
  std::vector<std::unique_ptr<CanPort>> ports_;          // by bus
  std::vector<std::unique_ptr<ModbusPort>> modbus_;      // by bus
  std::vector<std::vector<CanOutcome>> refused_writes_;  // by bus: what no port took
  std::vector<CanBusReport> bus_reports_;                // by bus, as last logged
  CanNews news_;                                         // used again
  bool listening_ = false;
  uint64_t refusals_ = 0;  // as last seen
  LogLimit link_log_{absl::Seconds(10)};
  LogLimit spool_log_{absl::Seconds(10)};
  LogLimit bus_log_{absl::Seconds(1)};
  LogLimit refusal_log_{absl::Seconds(10)};
};

}  // namespace fleet::device
