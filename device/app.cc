#include "device/app.h"

#include <utility>
#include <variant>

#include "common/paho_link.h"
#include "common/status_macros.h"

namespace fleet::device {

App::App(AppOptions options, const Clock& clock, EventLoop& loop)
    : loop_(loop),
      inbox_(kInboxCapacity, 1, [this] { loop_.Wake(); }),
      agent_(std::move(options.agent), clock.Read()) {}

App::~App() {
  if (api_) api_->Stop();  // it pushes into the inbox
}

absl::StatusOr<std::unique_ptr<App>> App::Open(AppOptions options, const Clock& clock, EventLoop& loop) {
  const LinkOptions link_options = options.link;
  LocalApi::Options api_options{
      .listen = options.http_listen, .device = options.agent.device, .epoch = options.agent.epoch};
  for (const DrivenEntity& entity : options.agent.entities) {
    if (entity.driver->is_external()) api_options.external_entities.push_back(entity.id);
  }
  auto app = std::unique_ptr<App>(new App(std::move(options), clock, loop));
  ASSIGN_OR_RETURN(std::unique_ptr<MqttLink> link,
                   PahoLink::Open(app->agent_.CompleteLinkOptions(link_options),
                                  [a = app.get()](LinkEvent event) { a->inbox_.PushEvent(0, std::move(event)); }));
  app->agent_.Attach(std::move(link));
  if (!api_options.listen.empty()) {
    ASSIGN_OR_RETURN(app->api_,
                     LocalApi::Open(
                         std::move(api_options), clock,
                         [a = app.get()](Input input) { return a->Push(std::move(input)); }, [&loop] { loop.Wake(); }));
    app->agent_.SetControllerSink([api = app->api_.get()](const ControllerEvent& event) { api->Publish(event); });
    LogInfo("local api listens port={}", app->api_->port());
  }
  return app;
}

absl::Status App::Run() {
  loop_.Run([this](Now now) { return Turn(now); });
  return agent_.Close(kCloseTimeout);
}

MonoTime App::Turn(Now now) {
  inbox_.Drain([&](Inbox::Item& item) {
    Log(item.input, now.mono);
    agent_.Handle(item.input, now);
  });
  if (api_) {
    api_->SetLinkUp(agent_.agent().link_up());
    if (const bool listening = api_->listening(); listening != listening_) {
      listening_ = listening;
      agent_.Handle(ControllersChanged{listening}, now);
    }
  }
  LogRefusals(now.mono);
  return agent_.Turn(now);
}

void App::Log(const Input& input, MonoTime now) {
  const absl::string_view id = agent_.agent().device().view();
  if (std::holds_alternative<LinkUp>(input)) LogInfo("broker connected device_id={}", id);
  const auto* down = std::get_if<LinkDown>(&input);
  if (down == nullptr) return;
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
  const uint64_t others = agent.counters().bad_beats + agent.counters().unknown_topics + inbox_.dropped();
  if (commands + others == refusals_) return;
  const auto skipped = refusal_log_.Allow(now);
  if (!skipped) return;
  refusals_ = commands + others;
  LogWarn("input refused device_id={} commands={} bad_beats={} unknown_topics={} queue_full={}", agent.device().view(),
          commands, agent.counters().bad_beats, agent.counters().unknown_topics, inbox_.dropped());
}

}  // namespace fleet::device
