// The server in a simulation: the real ingest and state, a shell as thin as the real one, and a store that needs a
// while.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

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
  static constexpr absl::Duration kStoreRetry = absl::Seconds(1);          // as StoreWriter

  struct Options {
    server::FleetOptions fleet;
    absl::Duration store_delay;  // of a commit; half of it until it is on the disk
  };
  SimServer(const Options& options, SimStore& store, ServerObserver& observer, Now now);

  void Connect(MemoryBroker& broker, LinkSink sink);
  void Handle(const LinkEvent& event, Now now);
  void Turn(Now now);
  MonoTime NextDue() const { return frozen_ ? MonoTime::Max() : due_; }
  // Ends cleanly: everything is stored, if the store works.
  void Stop(Now now);

  // The process stands still: what arrives waits for it.
  void Freeze() { frozen_ = true; }
  void Thaw(Now now);
  bool is_frozen() const { return frozen_; }

  // What an operator asks of it: the turn that follows is due now.
  template <typename Ask>
  auto Operate(MonoTime now, Ask ask) {
    due_ = now;
    return ask(state_, changes_);
  }

  const server::FleetState& state() const { return state_; }
  const server::Ingest& ingest() const { return ingest_; }
  bool store_works() const { return store_works_; }

 private:
  struct Writing {
    MonoTime commit_at;
    MonoTime tell_at;
    server::RowBatch batch;
  };
  struct Written {
    MonoTime at;
    uint64_t number;
    bool lost;
  };

  void HandleNow(const LinkEvent& event, Now now);
  void On(const LinkUp&, Now now) { state_.LinkUp(now, changes_); }
  void On(const LinkDown&, Now now);
  void On(const Arrived& message, Now now);
  void SendStops(Now now);
  void SendDue(Now now);
  void PublishLive(std::vector<Publication>& publications, Now now);
  void GatherRows(MonoTime now);
  void HandRows(MonoTime now);
  void CommitDue(MonoTime now);
  void HearWritten(Now now);

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
  bool frozen_ = false;
  std::vector<LinkEvent> waiting_;  // while it stands still
  server::RowBatch pending_;
  MonoTime pending_since_;
  bool store_works_ = true;
  std::deque<Writing> writing_;
  std::deque<Written> written_;
};

}  // namespace fleet
