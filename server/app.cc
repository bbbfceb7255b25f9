#include "server/app.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/broker_options.h"
#include "common/config.h"
#include "common/paho_link.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "server/boot.h"
#include "server/metrics_page.h"
#include "server/store.h"

namespace fleet::server {
namespace {

constexpr size_t kMaxLinkChanges = 1024;
constexpr size_t kManyMessages = 64;  // in one turn: 64 000 a second
constexpr int kPlainThreads = 8;      // for requests that are answered at once
constexpr int kMaxWaiting = 128;      // requests that wait for a command
constexpr char kClientId[] = "fleet-server";

FleetOptions FleetOptionsOf(const v1::ServerConfig& config) {
  return {.liveness = {.stale_after = ToAbsl(config.liveness().stale_after()),
                       .offline_after = ToAbsl(config.liveness().offline_after())},
          .max_devices = config.liveness().max_devices(),
          .max_open_commands = config.commands().max_open(),
          .max_ttl = ToAbsl(config.commands().max_ttl()),
          .patrol = ToAbsl(config.patrol())};
}

}  // namespace

struct App::Parts {
  DataDir data_dir;
  Dispatcher dispatcher;
  std::unique_ptr<Store> store;
  std::unique_ptr<StoreReader> reader;
  SavedFleet saved;
};

absl::StatusOr<std::unique_ptr<App>> App::Open(const v1::ServerConfig& config, const Clock& clock, EventLoop& loop) {
  if (ToAbsl(config.liveness().offline_after()) <= ToAbsl(config.liveness().stale_after())) {
    return absl::InvalidArgumentError("liveness.offline_after must be longer than liveness.stale_after");
  }
  ASSIGN_OR_RETURN(DataDir data_dir, DataDir::Open(config.store().dir()));
  ASSIGN_OR_RETURN(Dispatcher dispatcher, Dispatcher::Open(config.commands().key_dir()));
  const std::string database = data_dir.File(Store::kFileName);
  ASSIGN_OR_RETURN(std::unique_ptr<Store> store, Store::Open(database));
  ASSIGN_OR_RETURN(std::unique_ptr<StoreReader> reader, StoreReader::Open(database));
  ASSIGN_OR_RETURN(SavedFleet saved, store->Load({.id = ReadBootId(), .now = clock.Read()}));
  std::unique_ptr<App> app(new App({.data_dir = std::move(data_dir),
                                    .dispatcher = std::move(dispatcher),
                                    .store = std::move(store),
                                    .reader = std::move(reader),
                                    .saved = std::move(saved)},
                                   config, clock, loop));
  RETURN_IF_ERROR(app->OpenEdges(config));
  return app;
}

App::App(Parts parts, const v1::ServerConfig& config, const Clock& clock, EventLoop& loop)
    : clock_(clock),
      loop_(loop),
      data_dir_(std::move(parts.data_dir)),
      dispatcher_(std::move(parts.dispatcher)),
      inbound_([this] { loop_.Wake(); }),
      link_changes_(kMaxLinkChanges, [this] { loop_.Wake(); }),
      taps_([this] { loop_.Wake(); }),
      changes_{.rows = {.number = 1}},
      state_(FleetOptionsOf(config), std::move(parts.saved), clock.Read(), changes_),
      reader_(std::move(parts.reader)) {
  taps_.Restore(state_, clock.Read().mono);
  const Store::Retention retention{.keep = ToAbsl(config.store().keep_history()),
                                   .keep_bytes = int64_t{config.store().keep_mib()} << 20};
  writer_ = std::make_unique<StoreWriter>(std::move(parts.store), retention, clock_, [this](uint64_t batch) {
    // When the loop's queue is full the next commit says the same and more.
    loop_.Post([this, batch] {
      for (uint64_t lost : writer_->TakeLost()) state_.Lost(lost, clock_.Read(), changes_);
      state_.Committed(batch, changes_);
    });
  });
}

App::~App() = default;

absl::Status App::OpenEdges(const v1::ServerConfig& config) {
  ASSIGN_OR_RETURN(LinkOptions options, ToLinkOptions(config.broker()));
  options.client_id = kClientId;
  options.max_in_flight = 60'000;  // a patrol round of a large fleet
  options.subscriptions = {{"rpi/+/+", 1}, {"rpi/+/command/ack", 1}, {"rpi/+/can/+/rx", 0}, {kServerProbeTopic, 0}};
  ASSIGN_OR_RETURN(link_,
                   PahoLink::Open(std::move(options), [this](LinkEvent&& event) { OnLinkEvent(std::move(event)); }));
  const int streams = static_cast<int>(config.http().max_streams());
  ASSIGN_OR_RETURN(
      http_, HttpServer::Bind(
                 {.listen = config.http().listen(), .threads = kPlainThreads + kMaxWaiting, .max_streams = streams}));
  AddRoutes(*http_, {.loop = loop_,
                     .clock = clock_,
                     .state = state_,
                     .changes = changes_,
                     .waiters = waiters_,
                     .reader = *reader_,
                     .watchers = watchers_,
                     .taps = taps_,
                     .health = [this] { return Health(); },
                     .metrics =
                         [this] {
                           return MetricsText({.state = state_,
                                               .ingest = ingest_,
                                               .quarantine = quarantine_,
                                               .store = writer_->health(),
                                               .inbound_dropped = inbound_.dropped(),
                                               .inbound_dropped_of_taps = inbound_.dropped_of_taps(),
                                               .publish_refused = sender_.refused(),
                                               .watchers = watchers_.count(),
                                               .taps = taps_.counters(),
                                               .open_taps = taps_.count()});
                         },
                     .max_waiting = kMaxWaiting});
  return absl::OkStatus();
}

absl::Status App::Run() {
  http_->Start();
  LogInfo("server ready http_port={} devices={} keys={} data={}", http_->port(), state_.registry().size(),
          dispatcher_.key_count(), data_dir_.path());
  loop_.Run([this](Now now) { return Turn(now); });
  return Stop();
}

void App::OnLinkEvent(LinkEvent&& event) {
  if (const auto* message = std::get_if<Arrived>(&event)) {
    inbound_.Push(*message);
  } else {
    link_changes_.Push(std::move(event));
  }
}

MonoTime App::Turn(Now now) {
  link_changes_.TakeAll(link_events_);
  for (const LinkEvent& event : link_events_) Take(event, now);
  state_.SetStoreWorks(writer_->keeps_up());
  TakeMessages(now);
  taps_.Tick(state_, changes_, now);
  sender_.SendStops(*link_, state_, changes_, now);
  state_.Tick(now, changes_);
  TickLink(now);
  sender_.SendRest(*link_, state_, changes_, now);
  waiters_.Tick(changes_, state_.commands(), now.mono);
  changes_.stored.clear();
  HandRows(now);
  if (state_.commands().AwaitsAnswer(now.mono)) loop_.Hurry();
  MonoTime due = std::min({state_.NextDue(), link_due_, waiters_.NextDue(), taps_.NextDue()});
  if (!pending_.empty()) due = std::min(due, pending_due_);
  return due;
}

void App::Take(const LinkEvent& event, Now now) {
  if (std::holds_alternative<LinkUp>(event)) {
    LogInfo("broker connected");
    state_.LinkUp(now, changes_);
  } else if (const auto* down = std::get_if<LinkDown>(&event)) {
    LogWarn("broker lost reason={}{}", down->reason, down->taken_over ? "; another server runs with our id" : "");
    state_.LinkDown(now, changes_);
    link_due_ = now.mono;
  }
}

void App::TakeMessages(Now now) {
  size_t count = 0;
  inbound_.Drain([&](absl::string_view topic, absl::string_view payload, bool retained) {
    ++count;
    TakeMessage(topic, payload, retained, now);
  });
  if (count > kManyMessages) loop_.ExpectMore();
}

void App::TakeMessage(absl::string_view topic, absl::string_view payload, bool retained, Now now) {
  state_.MessageArrived(now);
  if (topic == kServerProbeTopic) return;
  const absl::StatusOr<Event> event = ingest_.Read(topic, payload, retained);
  if (event.ok()) {
    if (const auto* frames = std::get_if<CanBatchEvent>(&*event)) return taps_.Take(*frames);
    return state_.Apply(*event, now, changes_);
  }
  quarantine_.Take(topic, payload, event.status(), now, changes_.rows);
  if (const auto skipped = reject_log_.Allow(now.mono)) {
    LogWarn("message refused topic={} error={} skipped={}", absl::CHexEscape(topic.substr(0, 100)),
            event.status().message(), *skipped);
  }
}

void App::TickLink(Now now) {
  if (link_due_ <= now.mono || !link_events_.empty()) link_due_ = link_->Tick(now.mono);
}

void App::HandRows(Now now) {
  RowBatch& rows = changes_.rows;
  if (!rows.empty()) {
    watchers_.Publish(rows, state_, now);
    const bool has_records = !rows.events.empty() || !rows.telemetry.empty();
    const MonoTime due = now.mono + (has_records ? kReceiptPeriod : kStorePeriod);
    pending_due_ = pending_.empty() ? due : std::min(due, pending_due_);
    pending_.Append(rows);
  }
  if (pending_.empty() || (!changes_.urgent && now.mono < pending_due_)) return;
  changes_.urgent = false;
  pending_.number = rows.number++;
  writer_->Push(std::exchange(pending_, {}));
}

v1::Health App::Health() const {
  v1::Health health;
  const std::string error = writer_->health().error;
  health.set_store(!error.empty() ? error : writer_->keeps_up() ? "works" : "too slow for what waits to be written");
  const Hearing& hearing = state_.hearing();
  health.set_broker(!hearing.link_up() ? "not connected"
                    : hearing.hears()  ? "connected"
                                       : "connected, but nothing arrives");
  health.set_ok(health.store() == "works" && health.broker() == "connected");
  return health;
}

absl::Status App::Stop() {
  const Now now = clock_.Read();
  watchers_.Close();
  taps_.Close();
  waiters_.Close(state_.commands());
  http_->Stop();
  link_->Close(std::nullopt, kStopTimeout).IgnoreError();  // devices need no goodbye of ours
  TakeMessages(now);
  state_.Flush(changes_);
  changes_.urgent = true;
  HandRows(now);
  const absl::Status status = writer_->Stop();
  LogInfo("server stopped rows={}", writer_->health().committed_rows);
  return status;
}

}  // namespace fleet::server
