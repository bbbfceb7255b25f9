// The server in a simulation: the real ingest and state, a shell as thin as the real one, and a store that needs a
// while.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "common/mqtt_link.h"
#include "common/testing/memory_broker.h"
#include "server/dispatcher.h"
#include "server/fleet_state.h"
#include "server/ingest.h"
#include "tests/sim/sim_store.h"

namespace fleet {

inline constexpr char kServerClientId[] = "mqtt_server";

// Sees what the server does, as it does it.
class ServerObserver {
 public:
  virtual ~ServerObserver() = default;
  virtual void OnMessage(const Arrived& message, MonoTime now) = 0;
  virtual void OnEvent(const server::Event& event, MonoTime now) = 0;
  virtual void OnRows(const server::RowBatch& rows, MonoTime now) = 0;
  virtual void OnPublish(const Publication& publication, MonoTime now) = 0;
};

// One run of the server. Destroyed without Stop it is killed: what is on its way to the store is lost.
class SimServer {
 public:
  static constexpr absl::Duration kStorePeriod = absl::Milliseconds(100);  // the real one gathers rows as long

  struct Options {
    server::FleetOptions fleet;
    absl::Duration store_delay;  // of a commit
  };
  SimServer(const Options& options, SimStore& store, ServerObserver& observer, Now now);

  void Connect(MemoryBroker& broker, LinkSink sink);
  void Handle(const LinkEvent& event, Now now);
  void Turn(Now now);
  MonoTime NextDue() const { return due_; }
  // Ends cleanly: everything is stored.
  void Stop(Now now);

  absl::StatusOr<CommandId> Submit(absl::string_view device, const v1::Segment& segment, absl::Duration ttl, Now now);

  const server::FleetState& state() const { return state_; }
  const server::Ingest& ingest() const { return ingest_; }

 private:
  void On(const LinkUp&, Now now) { state_.LinkUp(now, changes_); }
  void On(const LinkDown&, Now now);
  void On(const Arrived& message, Now now);
  void SendDue(Now now);
  void GatherRows(MonoTime now);
  void HandRows(MonoTime now);
  void CommitDue(MonoTime now);

  const Options options_;
  SimStore& store_;
  ServerObserver& observer_;
  const server::Dispatcher dispatcher_;
  server::Ingest ingest_;
  server::Changes changes_;
  server::FleetState state_;
  std::unique_ptr<MqttLink> link_;
  MonoTime link_due_;
  MonoTime due_;
  server::RowBatch pending_;
  MonoTime pending_since_;
  std::deque<std::pair<MonoTime, server::RowBatch>> commits_;  // by the time when they are done
};

}  // namespace fleet
