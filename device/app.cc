#include "device/app.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/paho_link.h"
#include "common/status_macros.h"

namespace fleet::device {

namespace {

Health::Facts FactsOf(const AppOptions& options) {
  return {.epoch = options.agent.epoch,
          .version = options.agent.version,
          .broker_url = options.link.url,
          .has_spool = options.agent.spool.has_value(),
          .spool_problem = options.spool_problem};
}

}  // namespace

App::App(AppOptions options, const Clock& clock, EventLoop& loop)
    : clock_(clock),
      loop_(loop),
      started_(clock.Read().mono),
      inbox_(kInboxCapacity, 1, [this] { loop_.Wake(); }),
      health_(FactsOf(options), clock.Read()),
      agent_(std::move(options.agent), clock.Read()) {}

App::~App() {
  ports_.clear();          // they wake the loop
  modbus_.clear();         // they push into the inbox
  if (api_) api_->Stop();  // it pushes into the inbox
  if (spool_) spool_->Stop();
}

absl::StatusOr<std::unique_ptr<App>> App::Open(AppOptions options, const Clock& clock, EventLoop& loop) {
  const LinkOptions link_options = options.link;
  LocalApi::Options api_options{.access = options.http,
                                .device = options.agent.device,
                                .epoch = options.agent.epoch,
                                .config_page = options.config_page};
  for (const DrivenEntity& entity : options.agent.entities) {
    if (entity.driver->is_external()) api_options.external_entities.push_back(entity.id);
  }
  std::unique_ptr<SpoolFile> spool = std::move(options.spool);
  if (spool) options.agent.spool = spool->contents();
  const std::string spool_problem = options.spool_problem;
  options.agent.spool_missing = !spool_problem.empty();
  std::vector<std::unique_ptr<CanBus>> buses = std::move(options.can);
  const CanPlan can = options.agent.can;
  const std::vector<ModbusBusPlan> modbus =
      options.agent.modbus ? options.agent.modbus->buses : std::vector<ModbusBusPlan>();
  auto app = std::unique_ptr<App>(new App(std::move(options), clock, loop));
  if (spool) app->OpenSpool(std::move(spool));
  app->OpenBuses(std::move(buses), can);
  app->OpenModbus(modbus);
  if (!spool_problem.empty()) {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_SPOOL_FAILED);
    event.set_detail(spool_problem);
    app->Push(EventTold{std::move(event)});
  }
  ASSIGN_OR_RETURN(std::unique_ptr<MqttLink> link,
                   PahoLink::Open(app->agent_.CompleteLinkOptions(link_options),
                                  [a = app.get()](LinkEvent event) { a->inbox_.PushEvent(0, std::move(event)); }));
  app->agent_.Attach(std::move(link));
  if (!api_options.access.listen.empty()) RETURN_IF_ERROR(app->OpenApi(std::move(api_options)));
  return app;
}

void App::OpenSpool(std::unique_ptr<SpoolFile> file) {
  spool_ = std::make_unique<Spool>(std::move(file), clock_, [this](SpoolDone done) {
    FLEET_CHECK(inbox_.Push(0, std::move(done))) << "an answer of the spool found no room";
  });
  agent_.SetSpoolSink([this](SpoolWork work) { spool_->Push(std::move(work)); });
}

void App::OpenBuses(std::vector<std::unique_ptr<CanBus>> buses, const CanPlan& plan) {
  refused_writes_.resize(buses.size());
  bus_reports_.resize(buses.size());
  for (size_t i = 0; i < buses.size(); ++i) {
    ports_.push_back(
        std::make_unique<CanPort>(plan.buses[i].name, std::move(buses[i]), [&loop = loop_] { loop.Wake(); }));
  }
  agent_.SetCanSink([this](CanWrite write) { Write(std::move(write)); });
}

void App::OpenModbus(const std::vector<ModbusBusPlan>& buses) {
  for (size_t i = 0; i < buses.size(); ++i) {
    modbus_.push_back(std::make_unique<ModbusPort>(i, MakeModbusWorkers(buses[i]), [this](ModbusDone done) {
      FLEET_CHECK(inbox_.Push(0, std::move(done))) << "an answer of a Modbus bus found no room";
    }));
  }
  agent_.SetModbusSink([this](ModbusStart start) {
    modbus_[start.bus]->Start(std::move(start.job));
    loop_.Hurry();  // a unit on a network answers before the next turn would begin
  });
}

void App::Write(CanWrite write) {
  CanOrder order{.frames = std::move(write.frames), .token = write.token, .not_after = write.not_after};
  if (ports_[write.bus]->Send(order)) return;
  refused_writes_[write.bus].push_back(
      {.order = std::move(order), .status = absl::ResourceExhaustedError("too much waits for this bus already")});
  loop_.Wake();
}

// What a program on the device was told is taken is taken, so the last of it comes before the flush.
absl::Status App::Run() {
  loop_.Run([this](Now now) { return Turn(now); });
  service_.Stopping();
  if (api_) api_->Stop();
  const Now now = clock_.Read();
  HandleInbox(now);
  HandleBuses(now);
  agent_.Flush(now);
  if (spool_) spool_->Stop();
  return agent_.Close(kCloseTimeout);
}

void App::HandleInbox(Now now) {
  inbox_.Drain([&](Inbox::Item& item) {
    Log(item.input, now.mono);
    agent_.Handle(item.input, now);
    health_.Hear(item.input, agent_.agent(), now);
  });
}

void App::HandleBuses(Now now) {
  for (size_t i = 0; i < ports_.size(); ++i) {
    std::vector<CanOutcome> refused = std::exchange(refused_writes_[i], {});
    if (!ports_[i]->Take(news_) && refused.empty()) continue;
    std::ranges::move(refused, std::back_inserter(news_.outcomes));
    LogBus(i, now.mono);
    const CanHeard heard{.bus = i, .news = &news_};
    agent_.Handle(heard, now);
    health_.Hear(heard, agent_.agent(), now);
  }
}

void App::LogBus(size_t bus, MonoTime now) {
  CanBusReport& known = bus_reports_[bus];
  if (news_.report.up == known.up && news_.report.problem == known.problem) return;
  const auto skipped = bus_log_.Allow(now);
  if (!skipped) return;
  known = news_.report;
  if (known.up) return LogInfo("can bus works bus={} skipped={}", ports_[bus]->name(), *skipped);
  LogWarn("can bus does not work bus={} reason={} skipped={}", ports_[bus]->name(), known.problem, *skipped);
}

MonoTime App::Turn(Now now) {
  HandleInbox(now);
  HandleBuses(now);
  if (api_) {
    if (const bool listening = api_->listening(); listening != listening_) {
      listening_ = listening;
      agent_.Handle(ControllersChanged{listening}, now);
    }
  }
  LogRefusals(now.mono);
  return std::min(agent_.Turn(now), service_.Turn(now.mono));
}

void App::Log(const Input& input, MonoTime now) {
  const absl::string_view id = agent_.agent().device().view();
  if (const auto* done = std::get_if<SpoolDone>(&input); done != nullptr && !done->status.ok()) {
    if (const auto skipped = spool_log_.Allow(now)) {
      LogError("spool cannot be written device_id={} error={} skipped={}", id, done->status.message(), *skipped);
    }
  }
  if (std::holds_alternative<LinkUp>(input)) {
    LogInfo("broker connected device_id={}", id);
    service_.Status("broker connected");
  }
  const auto* down = std::get_if<LinkDown>(&input);
  if (down == nullptr) return;
  service_.Status(absl::StrCat("broker not connected: ", down->reason));
  const auto skipped = link_log_.Allow(now);
  if (!skipped) return;
  if (down->taken_over) {
    LogError("another client connected with our id, give each device its own --id device_id={} skipped={}", id,
             *skipped);
  } else {
    LogWarn("broker not connected device_id={} reason={} skipped={}", id, down->reason, *skipped);
  }
}

void App::LogRefusals(MonoTime now) {
  const Agent& agent = agent_.agent();
  const uint64_t commands = agent.gate().refused_total();
  const uint64_t can = agent.can() != nullptr ? agent.can()->refused_messages() : 0;
  const uint64_t others = agent.counters().bad_beats + agent.counters().unknown_topics + inbox_.dropped() + can;
  if (commands + others == refusals_) return;
  const auto skipped = refusal_log_.Allow(now);
  if (!skipped) return;
  refusals_ = commands + others;
  LogWarn("input refused device_id={} commands={} bad_beats={} unknown_topics={} queue_full={} can_messages={}",
          agent.device().view(), commands, agent.counters().bad_beats, agent.counters().unknown_topics,
          inbox_.dropped(), can);
}

}  // namespace fleet::device
