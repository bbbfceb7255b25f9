// The server program: the domain in the middle, its edges around it. Who owns whom can be read off the members, and who
// may touch what off their groups.
#pragma once

#include <memory>
#include <vector>

#include "common/bounded_queue.h"
#include "common/data_dir.h"
#include "common/event_loop.h"
#include "common/http_server.h"
#include "common/logging.h"
#include "common/mqtt_link.h"
#include "fleet/v1/config.pb.h"
#include "server/api.h"
#include "server/dispatcher.h"
#include "server/fleet_state.h"
#include "server/inbound.h"
#include "server/ingest.h"
#include "server/quarantine.h"
#include "server/sender.h"
#include "server/store_reader.h"
#include "server/store_writer.h"
#include "server/tap_streams.h"
#include "server/watchers.h"

namespace fleet::server {

class App {
 public:
  static constexpr absl::Duration kStorePeriod = absl::Milliseconds(100);  // age at which rows go to the writer
  // The same of records that wait for their receipt: a device with a backlog on a slow link sends one batch at a time.
  static constexpr absl::Duration kReceiptPeriod = absl::Milliseconds(20);
  static constexpr absl::Duration kStopTimeout = absl::Milliseconds(500);  // for the broker to take the last messages

  // Opens everything and connects nothing yet. The Status says what is wrong with which key or file.
  static absl::StatusOr<std::unique_ptr<App>> Open(const v1::ServerConfig& config, const Clock& clock, EventLoop& loop);
  ~App();

  // Until the loop is stopped; then stores what is left. Not ok: something could not be stored.
  absl::Status Run();

 private:
  struct Parts;
  App(Parts parts, const v1::ServerConfig& config, const Clock& clock, EventLoop& loop);
  absl::Status OpenEdges(const v1::ServerConfig& config);

  void OnLinkEvent(LinkEvent&& event);  // the link's thread
  MonoTime Turn(Now now);
  void Take(const LinkEvent& event, Now now);
  void TakeMessages(Now now);
  void TakeMessage(absl::string_view topic, absl::string_view payload, bool retained, Now now);
  void TickLink(Now now);
  void HandRows(Now now);
  v1::Health Health() const;
  absl::Status Stop();

  // Constant after construction.
  const Clock& clock_;
  EventLoop& loop_;
  const DataDir data_dir_;
  const Dispatcher dispatcher_;

  // Any thread.
  Inbound inbound_;
  BoundedQueue<LinkEvent> link_changes_;  // apart, so that a flood of messages cannot push them out
  Watchers watchers_;

  // Loop thread.
  TapStreams taps_;
  Changes changes_;
  FleetState state_;
  CommandWaiters waiters_;
  Sender sender_{dispatcher_};
  Ingest ingest_;
  Quarantine quarantine_;
  RowBatch pending_;      // rows of several turns, on their way to the writer
  MonoTime pending_due_;  // when they go to it
  MonoTime link_due_;
  LogLimit reject_log_{absl::Seconds(10)};
  std::vector<LinkEvent> link_events_;

  // They have threads and call back into what is above; they go first.
  std::unique_ptr<StoreWriter> writer_;
  // Gone before the writer's connection, which then is the last one and leaves the database as one file.
  const std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<MqttLink> link_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace fleet::server
